"""The ledger, the border where text becomes tokens, and public formats in and out."""
