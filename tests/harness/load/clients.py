"""The clients of a test, under way: how far they are, and what became of it all in the end."""

import json
import subprocess
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from confluent_kafka import Consumer, KafkaException, TopicPartition

from harness.cluster import WAIT_S, Pending, wait_for
from harness.paths import TESTS

from .checker import Outcome, Place, Stored, outcome, place
from .history import Event, Reader

GROUP = "group"
END_S = 120
"""How long a client may take to end."""
QUICK = {"heartbeat.interval.ms": 500}
"""So that members hear of a rebalance sooner than after three seconds."""
T = TypeVar("T")


def tried(ask: Callable[[], T]) -> Callable[[], T]:
    """The same question, to which an error means that it has to be asked again."""

    def asked() -> T:
        try:
            return ask()
        except KafkaException as error:
            raise Pending(str(error)) from error

    return asked


class Client:
    """A process with a history."""

    def __init__(self, command: list[str], directory: Path, kind: str, arguments: dict):
        self.name = arguments["client"]
        self.log = directory / f"{self.name}.log"
        history = directory / f"{self.name}.jsonl"
        self.history = Reader(history)
        told = json.dumps({**arguments, "history": str(history)})
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([*command, kind, told], cwd=TESTS, stdin=subprocess.PIPE, stdout=log, stderr=log)

    def halt(self) -> None:
        """Tells it to finish."""
        self.process.stdin.close()

    def wait(self) -> None:
        """Waits until it has ended, as it should."""
        assert self.process.wait(END_S) == 0, f"{self.name} failed: {self.log.read_text(errors='replace')[-2000:]}"

    def close(self) -> None:
        """Ends it if it has not ended."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if not self.process.stdin.closed:
            self.process.stdin.close()


class Clients:
    """Producers and a group of two consumers, to which a third one comes in the end.

    Topics have at least three partitions, so that each of them is given some.
    """

    def __init__(
        self,
        command: list[str],
        directory: Path,
        bootstrap: str,
        topics: dict[str, int],
        producers: dict[str, tuple[str, dict]],
        **more,
    ):
        """`command` runs `client.py`; producers are of a kind and have options of their own, and all are told `more`."""
        self.directory, self.topics, self.bootstrap = directory, topics, bootstrap
        self._command, self._more = command, more
        directory.mkdir()
        self.places = frozenset((topic, number) for topic, count in topics.items() for number in range(count))
        self.producers = {name: self._start(name, kind, options) for name, (kind, options) in producers.items()}
        self.consumers = [self._consumer(number) for number in (1, 2)]

    def _start(self, name: str, kind: str, options: dict, **more) -> Client:
        told = {"client": name, "bootstrap": self.bootstrap, "topics": self.topics, "options": options}
        return Client(self._command, self.directory, kind, {**told, **self._more, **more})

    def _consumer(self, number: int) -> Client:
        return self._start(f"member-{number}", "consume", QUICK, group=GROUP)

    @property
    def all(self) -> list[Client]:
        """Whoever was started."""
        return [*self.producers.values(), *self.consumers]

    def events(self) -> list[Event]:
        """What all of them have written so far."""
        return [event for client in self.all for event in client.history.update()]

    def wait_progress(
        self, names: Iterable[str] | None = None, places: Iterable[Place] | None = None, timeout_s: float = WAIT_S
    ) -> float:
        """Waits until each of these producers got something acknowledged in each partition that it sent from now on.

        Returns how many seconds that took.
        """
        start = time.monotonic()
        wanted = set(self.places if places is None else places)
        for name in self.producers if names is None else names:
            wait_for(f"{name} goes on", lambda: self._has_progress(name, wanted, start), timeout_s)
        return time.monotonic() - start

    def _has_progress(self, name: str, wanted: set[Place], start: float) -> bool:
        sent: set[tuple[str, str]] = set()
        moving: set[Place] = set()
        history = self.producers[name].history.update()
        for event in history[bisect_left(history, start, key=lambda event: event["at"]) :]:
            match event["event"]:
                case "failed":
                    raise RuntimeError(f"{name} gave up: {event}")
                case "sent":
                    sent.add((event["topic"], event["record"]))
                case "acknowledged" if (event["topic"], event["record"]) in sent:
                    moving.add(place(event))
        if not wanted <= moving:
            raise Pending(f"nothing is acknowledged in {sorted(wanted - moving)}")
        return True

    def wait_consumed(self) -> None:
        """Waits until the group has committed all that is acknowledged. No producer runs any more."""
        left: dict[Place, int] = defaultdict(int)
        for event in self.events():
            if event["event"] == "acknowledged" and event["offset"] is not None:
                left[place(event)] = max(left[place(event)], event["offset"] + 1)

        def caught_up() -> bool:
            for client in self.consumers:
                for event in client.history.update():
                    if event["event"] == "committed" and event["offset"] >= left.get(place(event), 0):
                        left.pop(place(event), None)
            if left:
                raise Pending(f"the group has not committed {dict(left)}")
            return True

        wait_for("the group catches up", caught_up, END_S)

    def finish(self) -> Outcome:
        """Ends all of them, and reads what is there in the end. All brokers must run."""
        for client in self.producers.values():
            client.halt()
        for client in self.producers.values():
            client.wait()
        # Whoever takes partitions over begins where the group was.
        third = self._consumer(3)
        self.consumers.append(third)
        wait_for("another member takes over", lambda: any(each["event"] == "assigned" for each in third.history.update()))
        self.wait_consumed()
        for client in self.consumers:
            client.halt()
        for client in self.consumers:
            client.wait()
        return outcome(self.events(), self._stored(), {GROUP: self._committed()})

    def _stored(self) -> Stored:
        """All records of all partitions."""
        consumer = self._reader()
        found: Stored = {each: [] for each in self.places}
        left: dict[Place, int] = {}
        for each in self.places:
            # A leader that has just begun does not say yet where its partition ends (KIP-207).
            ask = tried(lambda: consumer.get_watermark_offsets(TopicPartition(*each), timeout=10))
            left[each] = wait_for(f"the end of {each}", ask)[1]
        consumer.assign([TopicPartition(*each, 0) for each, end in left.items() if end > 0])
        left = {each: end for each, end in left.items() if end > 0}
        until = time.monotonic() + END_S
        while left:
            assert time.monotonic() < until, f"not read within {END_S} s: {left}"
            for message in consumer.consume(2000, 0.2):
                if message.error() is None:
                    each = (message.topic(), message.partition())
                    found[each].append((message.offset(), message.value().decode()))
                    if message.offset() + 1 >= left.get(each, 0):
                        left.pop(each, None)
        consumer.close()
        return found

    def _committed(self) -> dict[Place, int]:
        """What the group has committed."""
        consumer = self._reader()
        ask = tried(lambda: consumer.committed([TopicPartition(*each) for each in self.places], timeout=10))
        answer = wait_for("the committed offsets", ask)
        consumer.close()
        return {(each.topic, each.partition): each.offset for each in answer if each.offset >= 0}

    def _reader(self) -> Consumer:
        return Consumer({
            "bootstrap.servers": self.bootstrap,
            "group.id": GROUP,
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
        })  # fmt: skip

    def close(self) -> None:
        """Ends whoever still runs."""
        for client in self.all:
            client.close()
