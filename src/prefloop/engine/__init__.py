"""Where the tensors live: one process today; torch distributed and Ray have their door here."""
