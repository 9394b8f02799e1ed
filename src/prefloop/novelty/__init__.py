"""Pseudo-counts: how often the like of a response was collected before."""
