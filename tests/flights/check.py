"""Checks what a group's members read of the flights: every row once, with its key, in order per key.

`check.py PARTITIONS FILE...`: one file for each member, each line being partition, offset, length of
the key (-1 for null), key, tab, row. Ends with 1 and says why if something is wrong.
"""

import sys
from collections import defaultdict

from rows import rows


def read(path: str) -> list[tuple[int, int, str | None, str]]:
    """Partition, offset, key and row of each line that a member printed."""
    found = []
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            numbers, row = line.rstrip("\n").split("\t", 1)
            partition, offset, key_size, key = numbers.split(" ", 3)
            found.append((int(partition), int(offset), None if int(key_size) < 0 else key, row))
    return found


def check(partitions: int, members: list[list[tuple[int, int, str | None, str]]]) -> str:
    """Raises AssertionError, or returns a line that says what held."""
    wanted = [(tail_number or None, row) for tail_number, row in rows()]
    assert all(members), "a member of the group read nothing"
    read_rows = sorted(line for member in members for line in member)
    assert len(read_rows) == len(wanted), f"{len(read_rows)} rows were read, not {len(wanted)}"

    offsets: dict[int, int] = defaultdict(int)
    places: dict[str | None, tuple[int, int]] = {}
    seen = set()
    for partition, offset, key, row in read_rows:
        assert offset == offsets[partition], f"partition {partition} has {offset} where {offsets[partition]} should be"
        offsets[partition] += 1
        number = int(row.split(",", 1)[0])
        assert wanted[number] == (key, row), f"row {number} came back as {key}: {row}"
        seen.add(number)
        if key is not None:
            home, before = places.get(key, (partition, -1))
            assert home == partition, f"{key} lies in partitions {home} and {partition}"
            assert before < number, f"of {key}, row {before} came before row {number}"
            places[key] = (partition, number)
    assert len(seen) == len(wanted), f"{len(wanted) - len(seen)} rows are missing"
    assert sorted(offsets) == list(range(partitions)), f"only partitions {sorted(offsets)} have rows"
    shares = " + ".join(str(len(member)) for member in members)
    return f"{len(seen)} rows arrived ({shares}), in order for each of {len(places)} tail numbers"


if __name__ == "__main__":
    try:
        print(check(int(sys.argv[1]), [read(path) for path in sys.argv[2:]]))
    except AssertionError as wrong:
        sys.exit(f"wrong: {wrong}")
