"""What the names of responses and queries in a ledger say: round, prompt, and place among others.

A response is `r3.17.0`: round 3, the round's prompt 17, its first candidate; a query adds the
other's place, `r3.17.0-2`. Held-out samples begin with another word.
"""


def round_of(name: str) -> int:
    """The round that drew, or asked."""
    return int(name[1:].partition(".")[0])


def place_of(name: str) -> tuple[int, int]:
    """Of a response: which of the round's prompts it answers, and which candidate it is."""
    _, prompt, candidate = name.split(".")
    return int(prompt), int(candidate)
