"""Features: vectors of responses, in a space that does not move while a run lasts."""
