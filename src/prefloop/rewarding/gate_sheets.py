"""What a gate found, as tables."""

from prefloop.compare.sheets import Sheet
from prefloop.rewarding.gate import Gated
from prefloop.rewarding.sheets import between, number


def gate_sheets(found: Gated) -> list[Sheet]:
    """What became of the attributes, and whether weighing them by prompt helps."""
    rows = [
        (
            str(place),
            number(one.before, 2),
            number(one.penalty, 2),
            number(one.after, 2),
            f"{one.weight:.2f} ({one.low:.2f} to {one.high:.2f})",
        )
        for place, one in enumerate(found.attributes)
    ]
    head = ("attribute", "Spearman with verbosity", "λ", "left", "weight, most prompts")
    shown = [Sheet(title="Attributes", head=head, rows=rows)]
    if found.held_out and found.beside:
        beside = found.beside
        right = [
            ("the gate", between(found.held_out.accuracy)),
            ("all attributes alike", between(beside.uniform)),
            (f"attribute {beside.attribute} alone, best in training", between(beside.best)),
        ]
        title = "On prompts left out"
        shown.append(Sheet(title=title, head=("score", "accuracy"), rows=right))
    return shown
