"""Losses on labelled data: one file per objective, one value per pair or sample."""
