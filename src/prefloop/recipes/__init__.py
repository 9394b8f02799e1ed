"""One file per method: a page that names its parts, as a list of phases."""
