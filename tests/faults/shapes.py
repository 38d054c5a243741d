"""Shapes of partitions: which ways in the network are cut. Pure; see `network.py`."""

from collections.abc import Iterable
from itertools import product

from .network import CLIENTS, Way

Ways = frozenset[Way]


def one_way(sources: Iterable[int], targets: Iterable[int]) -> Ways:
    """Nothing from these gets to those; the answers to what comes from there do not either."""
    return frozenset((one, other) for one, other in product(set(sources), set(targets)) if one != other)


def between(some: Iterable[int], others: Iterable[int]) -> Ways:
    """Neither hears of the other."""
    some, others = set(some), set(others)
    return one_way(some, others) | one_way(others, some)


def alone(broker: int, brokers: Iterable[int]) -> Ways:
    """A broker that nobody reaches and that reaches nobody."""
    return between({broker}, {*brokers, CLIENTS})


def from_brokers(broker: int, brokers: Iterable[int]) -> Ways:
    """A broker that only clients reach."""
    return between({broker}, brokers)


def from_clients(broker: int) -> Ways:
    """A broker that only brokers reach."""
    return between({broker}, {CLIENTS})


def deaf(broker: int, brokers: Iterable[int]) -> Ways:
    """A broker that hears none of the others, which hear it."""
    return one_way(brokers, {broker})


def mute(broker: int, brokers: Iterable[int]) -> Ways:
    """A broker that none of the others hears, and which hears them."""
    return one_way({broker}, brokers)


def halves(some: Iterable[int], brokers: Iterable[int]) -> Ways:
    """Some brokers here and the others there; clients reach both."""
    return between(some, set(brokers) - set(some))


def bridge(broker: int, brokers: Iterable[int]) -> Ways:
    """Two halves that only one broker sees both of."""
    others = sorted(set(brokers) - {broker})
    return between(others[: len(others) // 2], others[len(others) // 2 :])


def ring(brokers: Iterable[int]) -> Ways:
    """Each broker sees only its two neighbours."""
    order = sorted(brokers)
    near = {(one, order[(place + 1) % len(order)]) for place, one in enumerate(order)}
    return frozenset((one, other) for one, other in between(order, order) if not {(one, other), (other, one)} & near)
