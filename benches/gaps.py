"""The longest time in which nothing was acknowledged: of all partitions together, and of each alone. Pure."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Gaps:
    """What a fault cost, in seconds."""

    together: float
    """The longest time without an acknowledgement of any partition."""
    worst: float
    """That of the partition that waited longest."""
    partition: int
    """The partition that waited longest."""


def longest(times: Sequence[float], since: float, until: float) -> float:
    """The longest time between two neighbours of `times`, which ascend, of those that reach into `since` to `until`.

    What was before the first one and after the last one counts as well, as far as it is in there.
    """
    first, end = bisect_left(times, since), bisect_left(times, until)
    before = times[first - 1] if first > 0 else since
    seen = [before, *times[first:end], times[end] if end < len(times) else until]
    return max(later - earlier for earlier, later in pairwise(seen))


def gaps(by_partition: Sequence[Sequence[float]], since: float, until: float) -> Gaps:
    """The gaps between `since` and `until`, by when records of each partition were acknowledged."""
    alone = [longest(times, since, until) for times in by_partition]
    together = longest(sorted(time for times in by_partition for time in times), since, until)
    worst = max(range(len(alone)), key=alone.__getitem__)
    return Gaps(together, alone[worst], worst)
