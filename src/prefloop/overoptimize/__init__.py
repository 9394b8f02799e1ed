"""Proxy and gold reward against √KL: how far a proxy can be optimised, and what that costs."""
