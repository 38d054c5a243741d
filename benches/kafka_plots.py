"""The pictures of the suite `kafka`."""

from collections.abc import Sequence

import loads
from loads import COUNTS, OTHERS, SHARES, SIZES, STEADY, USUAL, Load
from samples import Samples
from servers import FJORD, FJORD_OS, KAFKA, KAFKA_FLUSH, NATS, NATS_SYNC, Side
from svg import Panel, draw

COLOURS = {
    KAFKA.name: "#b45309",
    FJORD.name: "#1d4ed8",
    KAFKA_FLUSH.name: "#f5b971",
    FJORD_OS.name: "#7db4fa",
    NATS.name: "#15803d",
    NATS_SYNC.name: "#8fd0a5",
}
ALL = (KAFKA, FJORD, KAFKA_FLUSH, FJORD_OS, NATS, NATS_SYNC)
PERCENTILES = ("p50", "p99", "p99.9", "max")


def _series(samples: Samples, sides: Sequence[Side], cells: Sequence[str], values: Sequence[str]) -> dict:
    """The medians of each side: of one value in many cells, or of many values in one cell."""
    found = {side.name: [samples.median(cell, side.name, value) for cell in cells for value in values] for side in sides}
    return {name: of for name, of in found.items() if any(value is not None for value in of)}


def _throughput(samples: Samples, what: str) -> Panel:
    shown = [*(Load(size, partitions) for size in SIZES for partitions in COUNTS), *OTHERS]
    name = {"produce": loads.produce, "consume": loads.consume}[what]
    # A place is as narrow as the page; the size and what is unusual are enough to tell it.
    size = lambda load: str(load).split(",")[0]  # noqa: E731
    places = [f"{size(load)} x {load.partitions}" for load in shown[: -len(OTHERS)]]
    places += [str(load).rsplit(", ", 1)[1] for load in OTHERS]
    below = f"size of records x partitions; the last two: {USUAL}, with that setting"
    series = _series(samples, ALL, [name(load) for load in shown], ["MB/s"])
    return Panel(f"{what}, librdkafka (NATS: its Go client)", "MB/s", places, below, series, bars=True)


def _latencies(samples: Samples) -> list[Panel]:
    return [
        Panel(
            f"{what}, {loads.steady(load, share)}", "ms (logarithmic)", PERCENTILES, "percentile",
            _series(samples, ALL, [loads.steady(load, share)], [f"{what} {name} ms" for name in PERCENTILES]), log=True,
        )
        for what in ("produce", "end to end") for load in STEADY for share in SHARES
    ]  # fmt: skip


def _growth(samples: Samples) -> list[Panel]:
    partitions = [loads.produce(Load(USUAL.size, number)) for number in COUNTS]
    fast = [loads.connections(number) for number in COUNTS]
    steady = [loads.connections(number, loads.CONNECTIONS_SHARE) for number in COUNTS]
    places = [f"{number:,}" for number in COUNTS]
    shown = [
        ("produce throughput", "MB/s", partitions, "partitions", "MB/s"),
        ("processor time", "CPU s/GiB", partitions, "partitions", "s/GiB (logarithmic)"),
        ("peak of resident memory", "RSS MiB peak", partitions, "partitions", "MiB"),
        ("produce throughput, raw connections", "MB/s", fast, "connections", "MB/s"),
        (f"p99 at {loads.CONNECTIONS_SHARE:.0%} of Kafka's peak", "produce p99 ms", steady, "connections", "ms"),
        ("peak of resident memory", "RSS MiB peak", fast, "connections", "MiB"),
    ]
    return [
        Panel(title, unit, places, below, _series(samples, ALL, cells, [value]), log="CPU" in value)
        for title, value, cells, below, unit in shown
    ]  # fmt: skip


def plots(samples: Samples) -> dict[str, str]:
    """By the names of their files."""
    throughput = [_throughput(samples, what) for what in ("produce", "consume")]
    return {
        "kafka-throughput.svg": draw(throughput, COLOURS, 1, 1080),
        "kafka-latency.svg": draw(_latencies(samples), COLOURS, 3, 360),
        "kafka-growth.svg": draw(_growth(samples), COLOURS, 3, 360),
    }
