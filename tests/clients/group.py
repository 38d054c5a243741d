"""A consumer group of client programs, and what must hold for it. Used by the tests of all clients."""

import time
from collections import Counter
from itertools import chain
from pathlib import Path

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from harness.programs import Client, MemberProgram
from harness.records import Record

WAIT_S = 90.0
POLL_S = 0.05


class Group:
    """Members of one group on one topic; knows all records that were ever delivered to it."""

    def __init__(self, client: Client, bootstrap: str, topic: str, partitions: int, directory: Path):
        self.client, self.topic, self.partitions, self.directory = client, topic, partitions, directory
        self.name = f"group-of-{topic}"
        self.arguments = {"bootstrap": bootstrap, "topic": topic, "group": self.name}
        self.members: list[MemberProgram] = []
        self.gone: list[MemberProgram] = []

    def join(self, count: int = 1) -> None:
        """Starts members."""
        for _ in range(count):
            label = str(len(self.members) + len(self.gone))
            self.members.append(MemberProgram(self.client, self.arguments, self.directory, label))

    def leave(self, index: int) -> None:
        """Has one member leave the group."""
        member = self.members.pop(index)
        self.gone.append(member)
        member.stop()

    def close(self) -> None:
        """Ends all members at once."""
        for member in self.members + self.gone:
            member.close()

    def wait_balanced(self) -> None:
        """Waits until every member owns its share and all partitions are owned once."""
        everything = list(range(self.partitions))
        share = self.partitions // len(self.members)

        def balanced() -> bool:
            owned = [member.assigned or [] for member in self.members]
            return sorted(chain.from_iterable(owned)) == everything and all(len(part) >= share for part in owned)

        self._wait("the members own all partitions, each its share", balanced)

    def records(self) -> list[Record]:
        """All records that all members ever received, those received twice included."""
        return [record for member in self.members + self.gone for record in member.records()]

    def wait_values(self, wanted: set[bytes]) -> None:
        """Waits until every one of these values was delivered to the group."""

        def missing() -> set[bytes]:
            return wanted - {record.value for record in self.records()}

        self._wait("all records are delivered", lambda: not missing(), lambda: f"missing are {sorted(missing())[:20]}")

    def commit_all(self) -> None:
        """Has the members commit until the group's committed offsets are the ends of all partitions.

        While the group rebalances, commits are refused, and what is not committed is read again;
        so this is tried until it holds.
        """
        ends = self.end_offsets()

        def committed() -> bool:
            for member in self.members:
                member.commit()
            return self.committed_offsets() == ends

        self._wait(f"the group has committed {ends}", committed, lambda: f"committed are {self.committed_offsets()}")

    def end_offsets(self) -> dict[int, int]:
        """The end offsets of all partitions that have records."""
        admin = self._new_admin()
        asked = {TopicPartition(self.topic, partition): OffsetSpec.latest() for partition in range(self.partitions)}
        found = {place.partition: future.result(30).offset for place, future in admin.list_offsets(asked).items()}
        return {partition: offset for partition, offset in found.items() if offset > 0}

    def committed_offsets(self) -> dict[int, int]:
        """The group's committed offsets as the broker tells anyone who asks."""
        admin = self._new_admin()
        answer = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(self.name)])
        places = answer[self.name].result(30).topic_partitions
        return {place.partition: place.offset for place in places if place.offset > 0}

    def _new_admin(self) -> AdminClient:
        """A new admin client for each question: one that lived through a restart of the broker remembers
        leader epochs and coordinators from before, and gives up with an error about them."""
        settings = {"bootstrap.servers": self.arguments["bootstrap"], "reconnect.backoff.max.ms": 500, "log_level": 2}
        return AdminClient(settings)

    def _wait(self, what: str, holds, detail=lambda: "") -> None:
        deadline = time.monotonic() + WAIT_S
        while not holds():
            for member in self.members:
                if member.process.poll() is not None:
                    member.finish()
                    raise AssertionError(f"{member.name} ended before: {what}")
            if time.monotonic() > deadline:
                members = "\n".join(member.report(f"owns {member.assigned}") for member in self.members)
                raise AssertionError(f"waited {WAIT_S} s in vain until {what}; {detail()}\n{members}")
            time.sleep(POLL_S)


def check_delivered_once(records: list[Record], wanted: set[bytes]) -> None:
    """Each of these values was delivered exactly once."""
    counts = Counter(record.value for record in records if record.value in wanted)
    repeated = {value: count for value, count in counts.items() if count > 1}
    assert not repeated, f"delivered again after they were committed: {dict(list(repeated.items())[:10])}"
    assert counts.keys() == wanted, f"never delivered: {sorted(wanted - counts.keys())[:10]}"
