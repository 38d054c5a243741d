"""The checker finds each thing that may go wrong, and nothing in a history where nothing did."""

import copy

import pytest

from harness.load.checker import RULES, outcome, violations

TOPIC, GROUP = "t", "g"


def good() -> dict:
    """The parts of a history without a fault: two keys, two partitions, a member of a group and the one after it."""
    stored = {(TOPIC, 0): [(0, "a:0"), (1, "a:1"), (2, "a:2")], (TOPIC, 1): [(0, "b:0"), (1, "b:1")]}
    events = []

    def add(event: str, client: str, **fields) -> None:
        events.append({"at": float(len(events)), "client": client, "event": event, "topic": TOPIC, **fields})

    for (_, partition), records in stored.items():
        for offset, record in records:
            add("sent", "p", record=record)
            # A record may be stored although its producer never learned of it.
            if record != "b:1":
                add("acknowledged", "p", record=record, partition=partition, offset=offset)
    add("assigned", "c1", group=GROUP, partitions=[0, 1])
    for partition, offset, record in [(0, 0, "a:0"), (0, 1, "a:1"), (1, 0, "b:0")]:
        add("consumed", "c1", group=GROUP, partition=partition, offset=offset, record=record)
    add("committed", "c1", group=GROUP, partition=0, offset=1, asked=len(events) - 0.5)
    add("assigned", "c2", group=GROUP, partitions=[0])
    # It goes on at what was committed, so it may be given again what came after that.
    for offset, record in [(1, "a:1"), (2, "a:2")]:
        add("consumed", "c2", group=GROUP, partition=0, offset=offset, record=record)
    add("committed", "c2", group=GROUP, partition=0, offset=3, asked=len(events) - 0.5)
    return {"events": events, "stored": stored, "committed": {GROUP: {(TOPIC, 0): 3}}}


def event(parts: dict, kind: str, **fields) -> dict:
    """The one event of a kind that has these fields."""
    (found,) = [each for each in parts["events"] if each["event"] == kind and fields.items() <= each.items()]
    return found


def acknowledged_elsewhere(parts):
    event(parts, "acknowledged", record="a:1")["offset"] = 7


def acknowledged_somewhere(parts):
    event(parts, "acknowledged", record="a:2")["offset"] = None
    parts["stored"][TOPIC, 0].pop()


def gone(parts):
    parts["stored"][TOPIC, 0].pop()


def stored_twice(parts):
    parts["stored"][TOPIC, 0].append((3, "a:2"))


def never_sent(parts):
    parts["events"].remove(event(parts, "sent", record="b:1"))


def swapped(parts):
    parts["stored"][TOPIC, 0] = [(0, "a:0"), (1, "a:2"), (2, "a:1")]


def key_in_two_partitions(parts):
    parts["stored"][TOPIC, 1].append((2, "a:3"))


def a_gap(parts):
    parts["stored"][TOPIC, 1][1] = (2, "b:1")


def one_offset_for_two(parts):
    event(parts, "acknowledged", record="a:2")["offset"] = 1


def consumed_and_gone(parts):
    event(parts, "consumed", client="c1", offset=1)["record"] = "a:9"


def not_consumed(parts):
    parts["events"].remove(event(parts, "consumed", record="a:2"))


def nothing_consumed(parts):
    parts["events"] = [each for each in parts["events"] if each["event"] not in ("consumed", "committed")]


def gave_up(parts):
    parts["events"].append(
        {"at": 99.0, "client": "p", "event": "failed", "topic": TOPIC, "record": "a:9", "error": "timed out"}
    )


def committed_less(parts):
    event(parts, "committed", client="c2")["offset"] = 0


def began_before_the_commit(parts):
    first = event(parts, "consumed", client="c2", record="a:1")
    first.update(offset=0, record="a:0")


def forgotten_in_the_end(parts):
    parts["committed"] = {}


def less_in_the_end(parts):
    parts["committed"][GROUP][TOPIC, 0] = 2


@pytest.mark.parametrize(
    ("fault", "rule"),
    [
        (acknowledged_elsewhere, "lost"),
        (acknowledged_somewhere, "lost"),
        (gone, "lost"),
        (stored_twice, "twice"),
        (never_sent, "invented"),
        (swapped, "order"),
        (key_in_two_partitions, "order"),
        (a_gap, "offsets"),
        (one_offset_for_two, "offsets"),
        (consumed_and_gone, "unstable"),
        (not_consumed, "missed"),
        (nothing_consumed, "missed"),
        (gave_up, "given_up"),
        (committed_less, "commits_back"),
        (began_before_the_commit, "commits_back"),
        (forgotten_in_the_end, "commits_back"),
        (less_in_the_end, "commits_back"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_a_fault_is_found(fault, rule):
    parts = good()
    fault(parts)
    found = violations(outcome(**parts))
    assert any(each.startswith(f"{rule}: ") for each in found), found


def test_a_good_history_is_good():
    assert violations(outcome(**good())) == []


def test_a_record_may_be_acknowledged_without_its_offset():
    parts = good()
    event(parts, "acknowledged", record="a:1")["offset"] = None
    assert violations(outcome(**parts)) == []


def test_only_what_is_under_way_at_a_new_epoch_may_be_there_twice():
    parts = good()
    stored_twice(parts)
    # The new epoch comes while the record is under way, and when it is acknowledged already.
    for after, is_right in [("sent", True), ("acknowledged", False)]:
        bumped = {"at": event(parts, after, record="a:2")["at"] + 0.5, "client": "p", "event": "bumped"}
        found = violations(outcome(**{**parts, "events": [*parts["events"], bumped]}))
        assert (found == []) == is_right, found


def test_a_commit_that_was_under_way_may_be_acknowledged_later():
    parts = good()
    last = parts["events"][-1]
    parts["events"].append({**last, "client": "c1", "offset": 2, "at": last["at"] + 1})
    assert violations(outcome(**parts)) == []


def test_events_may_come_in_any_order():
    parts = good()
    shuffled = {**copy.deepcopy(parts), "events": parts["events"][::-1]}
    assert outcome(**shuffled).events == parts["events"]
    assert violations(outcome(**shuffled)) == []


def test_every_rule_is_tested():
    (marks,) = [mark for mark in test_a_fault_is_found.pytestmark if mark.name == "parametrize"]
    assert {rule for _, rule in marks.args[1]} == {rule.__name__ for rule in RULES}
