"""What a bottleneck on two views of a prompt minimises: one file an objective."""
