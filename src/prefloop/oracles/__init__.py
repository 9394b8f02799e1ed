"""Oracles say which of two responses is better; scorers rate one. Importing them is cheap."""
