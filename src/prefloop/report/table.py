"""The before/after table at the end of a run, for the terminal."""

from rich.table import Table

from prefloop.report.headline import Metrics, headline


def console_table(metrics: Metrics) -> Table:
    """Key numbers at the start and now, with the 95 % interval where there is one."""
    table = Table(title="Before and after", title_justify="left")
    table.add_column("measure")
    for column in ("before", "after", "95 % interval"):
        table.add_column(column, justify="right")
    for found in headline(metrics):
        name = f"{found.name} ({found.unit})" if found.unit else found.name
        table.add_row(name, found.before or "–", found.after or "–", found.interval)
    return table
