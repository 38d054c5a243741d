"""Tables for the page of the benchmarks."""

from collections.abc import Iterable, Sequence

from samples import Samples, digits


def table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def number(value: float | None) -> str:
    """A number with the digits that mean something; nothing if there is none."""
    return "" if value is None else digits(value)


def comparison(samples: Samples, cells: Sequence[str], sides: tuple[str, str], values: Sequence[str]) -> str:
    """For each cell and value the medians of both sides, and how the second is to the first; empty if there is none."""
    reference, ours = sides
    heading = ["", "", reference, ours, "ratio (least to greatest of the rounds)"]
    rows = []
    for cell in cells:
        for value in values:
            if (ratio := samples.ratio(cell, ours, reference, value)) is None:
                continue
            medians = [number(samples.median(cell, side, value)) for side in sides]
            rows.append([cell, value, *medians, str(ratio)])
    return table(heading, rows) if rows else ""
