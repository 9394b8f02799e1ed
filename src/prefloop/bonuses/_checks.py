"""What a bonus asks of its options, checked once."""


def at_least_zero(name: str, value: float) -> None:
    """ValueError for a strength below zero, which would turn the bonus round."""
    if value < 0:
        raise ValueError(f"{name} must be at least 0, got {value:g}; a negative one turns it round")
