"""Reward models by themselves: trained on a file or on a run's answers, and measured on labels."""
