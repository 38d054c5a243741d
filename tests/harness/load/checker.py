"""Whether a history is one that users may see. Pure: from the events of `history.py` and the stored records to sentences."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from .history import Event

Place = tuple[str, int]
"""A topic and a partition."""
Stored = dict[Place, list[tuple[int, str]]]
"""The records of each partition with their offsets, as they are read in the end."""


@dataclass(frozen=True)
class Outcome:
    """A history with its end."""

    events: list[Event]
    """Of all clients, by time."""
    stored: Stored
    committed: dict[str, dict[Place, int]]
    """What each group has committed in the end."""

    def of(self, *kinds: str) -> list[Event]:
        """The events of some kinds."""
        return [event for event in self.events if event["event"] in kinds]


def outcome(events: Iterable[Event], stored: Stored, committed: dict[str, dict[Place, int]]) -> Outcome:
    """A history from the events of clients in any order."""
    return Outcome(sorted(events, key=lambda event: event["at"]), stored, committed)


def violations(outcome: Outcome) -> list[str]:
    """What is wrong with it, in sentences."""
    return [f"{rule.__name__}: {said}" for rule in RULES for said in rule(outcome)]


def place(event: Event) -> Place:
    """The partition that an event tells of."""
    return event["topic"], event["partition"]


def given_up(outcome: Outcome) -> Iterator[str]:
    """A producer that tries again and again loses no record, and an idempotent one never gets stuck."""
    for event in outcome.of("failed"):
        yield f"{event['client']} gave {event['record']} for {event['topic']} up: {event['error']}"


def sent_under_two_epochs(outcome: Outcome) -> set[tuple[str, str]]:
    """The records that a client was still sending when it took a new producer epoch, by their topics.

    librdkafka does so where a request is refused since the one before it was, as happens when leaders change; no broker can
    tell then that it sends again what it has sent before (https://github.com/confluentinc/librdkafka/issues/4953).
    """
    under_way: dict[str, set[tuple[str, str]]] = defaultdict(set)
    found: set[tuple[str, str]] = set()
    for event in outcome.of("sent", "acknowledged", "bumped"):
        if event["event"] == "sent":
            under_way[event["client"]].add((event["topic"], event["record"]))
        elif event["event"] == "acknowledged":
            under_way[event["client"]].discard((event["topic"], event["record"]))
        else:
            found |= under_way[event["client"]]
    return found


def lost(outcome: Outcome) -> Iterator[str]:
    """What is acknowledged is stored, where it was said to be."""
    stored = {partition: dict(records) for partition, records in outcome.stored.items()}
    offsets = {(partition, record): offset for partition, records in stored.items() for offset, record in records.items()}
    for event in outcome.of("acknowledged"):
        said = event["offset"] if event["offset"] is not None else offsets.get((place(event), event["record"]))
        found = stored.get(place(event), {}).get(said)
        if found != event["record"]:
            yield f"{event['record']} was acknowledged at {place(event)} offset {event['offset']}, which has {found}"


def twice(outcome: Outcome) -> Iterator[str]:
    """No record is stored more than once, but for those that were sent under two producer epochs."""
    excused = sent_under_two_epochs(outcome)
    seen: dict[tuple[str, str], tuple[int, int]] = {}
    for (topic, partition), records in outcome.stored.items():
        for offset, record in records:
            before = seen.setdefault((topic, record), (partition, offset))
            if before != (partition, offset) and (topic, record) not in excused:
                yield f"{record} of {topic} is stored at {before} and {(partition, offset)}"


def invented(outcome: Outcome) -> Iterator[str]:
    """Nothing is stored that was not sent."""
    sent = {(event["topic"], event["record"]) for event in outcome.of("sent")}
    for (topic, partition), records in outcome.stored.items():
        for offset, record in records:
            if (topic, record) not in sent:
                yield f"{record} at {topic}-{partition} offset {offset} was never sent"


def order(outcome: Outcome) -> Iterator[str]:
    """The records of a key are in one partition, in the order in which they were sent."""
    excused = sent_under_two_epochs(outcome)
    partitions: dict[tuple[str, str], int] = {}
    for (topic, partition), records in outcome.stored.items():
        numbers: dict[str, int] = {}
        for offset, record in records:
            if (topic, record) in excused:
                continue
            key, number = record.rsplit(":", 1)
            if partitions.setdefault((topic, key), partition) != partition:
                yield f"key {key} of {topic} is in the partitions {partitions[topic, key]} and {partition}"
            if int(number) <= numbers.get(key, -1):
                yield f"{record} at {topic}-{partition} offset {offset} comes after {key}:{numbers[key]}"
            numbers[key] = int(number)


def offsets(outcome: Outcome) -> Iterator[str]:
    """Offsets go up one by one, and each is told to one record only."""
    for partition, records in outcome.stored.items():
        for (before, _), (after, record) in pairwise(records):
            if after != before + 1:
                yield f"{record} at {partition} has offset {after} after {before}"
    told: dict[tuple[Place, int], str] = {}
    for event in outcome.of("acknowledged"):
        if event["offset"] is None:
            continue
        before = told.setdefault((place(event), event["offset"]), event["record"])
        if before != event["record"]:
            yield f"{place(event)} offset {event['offset']} was told to {before} and to {event['record']}"


def unstable(outcome: Outcome) -> Iterator[str]:
    """What a consumer was given stays: nobody sees a record that is gone or another one later."""
    stored = {partition: dict(records) for partition, records in outcome.stored.items()}
    for event in outcome.of("consumed"):
        found = stored.get(place(event), {}).get(event["offset"])
        if found != event["record"]:
            given = f"{event['record']} at {place(event)} offset {event['offset']}"
            yield f"{event['client']} was given {given}, which has {found}"


def missed(outcome: Outcome) -> Iterator[str]:
    """Each group is given each acknowledged record of the topics that it reads."""
    groups: dict[tuple[str, str], set[str]] = defaultdict(set)
    for event in outcome.of("assigned"):
        groups[event["group"], event["topic"]] |= set()
    for event in outcome.of("consumed"):
        groups[event["group"], event["topic"]].add(event["record"])
    for (group, topic), consumed in groups.items():
        for event in outcome.of("acknowledged"):
            if event["topic"] == topic and event["record"] not in consumed:
                yield f"{group} was never given {event['record']} at {place(event)} offset {event['offset']}"


def commits_back(outcome: Outcome) -> Iterator[str]:
    """A committed offset never goes back: not from commit to commit, not for who takes a partition over, not in the end."""
    acknowledged: dict[tuple[str, Place], list[tuple[float, int]]] = defaultdict(list)
    # What was committed when a member was given the partition: it must not be given anything before that.
    floors: dict[tuple[str, str, Place], int] = {}

    def committed_at(group: str, partition: Place, time: float) -> int:
        """The highest offset whose commit was acknowledged by then."""
        return max((offset for at, offset in acknowledged.get((group, partition), []) if at <= time), default=0)

    for event in outcome.of("assigned", "committed", "consumed"):
        group = event["group"]
        if event["event"] == "assigned":
            for number in event["partitions"]:
                partition = (event["topic"], number)
                floors[event["client"], group, partition] = committed_at(group, partition, event["at"])
            continue
        partition, offset = place(event), event["offset"]
        if event["event"] == "committed":
            if offset < (before := committed_at(group, partition, event["asked"])):
                yield f"{event['client']} committed {offset} for {partition} after {before} was acknowledged"
            acknowledged[group, partition].append((event["at"], offset))
        elif offset < (floor := floors.get((event["client"], group, partition), 0)):
            yield f"{event['client']} was given offset {offset} of {partition}, but {floor} was committed before"
    for (group, partition), commits in acknowledged.items():
        before = max((offset for _, offset in commits), default=0)
        if (found := outcome.committed.get(group, {}).get(partition, -1)) < before:
            yield f"{group} has {found} committed for {partition} in the end, but {before} was acknowledged"


RULES = [given_up, lost, twice, invented, order, offsets, unstable, missed, commits_back]
