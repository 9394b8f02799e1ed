def on_policy():
    """x"""
