class BradleyTerry:
    """x"""

    scale: float = 1.0
