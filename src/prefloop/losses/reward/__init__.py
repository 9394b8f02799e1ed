"""What a reward model learns from: one file an objective on its scores."""
