"""The tables of the suite `kafka` in the page of the benchmarks."""

import loads
from loads import COUNTS, USUAL, Load
from samples import Samples
from servers import FJORD, FJORD_OS, KAFKA, KAFKA_FLUSH, NATS, NATS_SYNC, Side
from tables import comparison, number, table
from targets import targets

LATENCIES = [f"{what} {name} ms" for what in ("produce", "end to end") for name in ("p50", "p99", "p99.9", "max")]
PAIRS = ((KAFKA, FJORD), (KAFKA_FLUSH, FJORD), (KAFKA, FJORD_OS), (NATS_SYNC, FJORD), (NATS, FJORD_OS))
"""The reference, and who is compared with it."""
TABLES = (
    ("produce", ["MB/s", "CPU s/GiB", "bytes written per byte", "RSS MiB", "RSS MiB peak"]),
    ("consume", ["MB/s", "CPU s/GiB", "RSS MiB", "RSS MiB peak"]),
    ("steady", ["on time", *LATENCIES, "CPU s/GiB"]),
    ("memory", ["RSS MiB idle", "RSS MiB after"]),
    ("first", ["seconds"]),
    (
        tuple(loads.count(number, "connection") for number in COUNTS),
        ["MB/s", "on time", *LATENCIES, "CPU s/GiB", "RSS MiB", "RSS MiB peak"],
    ),
    ("cold", ["on time", *LATENCIES, "reader's MB/s"]),
    ("Java", ["MB/s", "p50 ms", "p99 ms", "CPU s/GiB"]),
)
"""Cells, by how their names begin, and what is shown of them."""


def render(samples: Samples) -> str:
    parts = ["### Targets\n", targets(samples), machine(samples), pictures()]
    parts += ["### How it grows\n", growth(samples)]
    for reference, ours in PAIRS:
        shown = [
            comparison(
                samples, [cell for cell in samples.cells() if cell.startswith(start)], (reference.name, ours.name), values
            )
            for start, values in TABLES
        ]
        if any(shown):
            parts += [f"### {ours.name} beside {reference.name}\n", *filter(None, shown)]
    return "\n".join(parts)


def machine(samples: Samples) -> str:
    """What the figures are from."""
    return table(["Measured on", ""], samples.facts.items()) if samples.facts else ""


def pictures() -> str:
    names = {
        "throughput": "Throughput by cell",
        "latency": "Latencies at fixed rates",
        "growth": "Throughput, processor time and memory by the numbers of partitions and of connections",
    }
    return "\n".join(f"![{told}](benchmarks/kafka-{name}.svg)\n" for name, told in names.items())


def growth(samples: Samples) -> str:
    """What becomes of a server with more partitions, and with more connections."""
    return table(["", "", *(side.name for side in _sides()), ""][:-1], [*_by_partitions(samples), *_by_connections(samples)])


def _sides() -> tuple[Side, ...]:
    return (KAFKA, FJORD, KAFKA_FLUSH, FJORD_OS)


def _row(samples: Samples, cell: str, value: str) -> list[str]:
    return [cell, value, *(number(samples.median(cell, side.name, value)) for side in _sides())]


def _by_partitions(samples: Samples) -> list[list[str]]:
    cells = [loads.produce(Load(USUAL.size, partitions)) for partitions in COUNTS]
    return [_row(samples, cell, value) for value in ("MB/s", "CPU s/GiB", "RSS MiB peak") for cell in cells]


def _by_connections(samples: Samples) -> list[list[str]]:
    fast = [loads.connections(number) for number in COUNTS]
    steady = [loads.connections(number, loads.CONNECTIONS_SHARE) for number in COUNTS]
    rows = [_row(samples, cell, value) for value in ("MB/s", "CPU s/GiB", "RSS MiB peak") for cell in fast]
    return rows + [_row(samples, cell, value) for value in ("produce p99 ms", "CPU s/GiB") for cell in steady]
