"""One file per optimism or pessimism term on samples; no labels in it."""
