"""How long producers waited, and where nothing was acknowledged: pure, from the events of `history.py` to numbers."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from .history import Event


@dataclass(frozen=True)
class Pace:
    """Latencies from handing a record to the client until it says that it is stored, and the longest pause of all."""

    p50_ms: float
    p99_ms: float
    p99_9_ms: float
    max_ms: float
    longest_gap_ms: float
    """The longest time without any acknowledgement, between the first one and the last one."""
    failed: int
    """Records that a producer gave up."""

    def as_dict(self) -> dict[str, float]:
        """For JSON, with tenths of milliseconds."""
        return {name: round(value, 1) for name, value in asdict(self).items()}


def pace(events: Iterable[Event]) -> Pace:
    """The pace of all producers together; of events by time."""
    sent: dict[tuple[str, str], float] = {}
    latencies: list[float] = []
    last, gap, failed = None, 0.0, 0
    for event in events:
        if event["event"] == "sent":
            sent[event["topic"], event["record"]] = event["at"]
        elif event["event"] == "failed":
            failed += 1
        elif event["event"] == "acknowledged":
            latencies.append(event["at"] - sent[event["topic"], event["record"]])
            gap = max(gap, event["at"] - (event["at"] if last is None else last))
            last = event["at"]
    latencies.sort()
    shares = [_share(latencies, share) * 1000 for share in (0.5, 0.99, 0.999, 1)]
    return Pace(*shares, longest_gap_ms=gap * 1000, failed=failed)


def _share(ordered: list[float], share: float) -> float:
    """The value that this share of all does not exceed; none if there is nothing."""
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)] if ordered else 0.0
