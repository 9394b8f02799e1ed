"""What goes wrong when an oracle is asked, as opposed to a label that could not be had."""


class OracleError(RuntimeError):
    """An oracle broke its contract: nothing it said to this call can be trusted."""
