"""Which responses mean the same: one file a way of telling."""
