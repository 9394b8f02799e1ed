"""Methods side by side: equal labels, equal tuning, several seeds, one row each."""
