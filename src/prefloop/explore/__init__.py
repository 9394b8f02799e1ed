"""Exploration rules: which two of K responses to one prompt an oracle is asked about.

A rule may pick two responses with the same text; the caller skips such a pair, which teaches
nothing.
"""
