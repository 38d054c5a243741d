"""A member of a consumer group that speaks gRPC: one stream, what it was told, and the commands it gives."""

import itertools
import queue
import threading
import time
from collections.abc import Callable

import grpc

from grpc_api.api import TIMEOUT_S, Api, of_proto
from harness.protos import pb
from harness.records import Record

SESSION_TIMEOUT_MS = 6_000


class Member:
    """Subscribes at once, and listens from then on.

    What was told is in `responses`, and by kind in `assignments`, `revocations`, `records` (topic and record),
    `committed` and `positioned`. A member whose partitions are revoked releases them at once, unless `releases` is
    turned off.
    """

    def __init__(self, broker, group: str, *topics: str, releases: bool = True, commits: bool = False, **subscribe):
        """`subscribe` are further fields of `Subscribe`; `commits` has the member commit before it releases."""
        self.releases, self.commits = releases, commits
        self.assignments, self.revocations = [], []
        self.records: list[tuple[str, Record]] = []
        self.batches: list = []
        self.committed: dict[int, object] = {}
        self.positioned: dict[int, object] = {}
        self.responses: list = []
        self.error: grpc.RpcError | None = None
        self.ended = False
        self._ids = itertools.count(1)
        self._commands: queue.SimpleQueue = queue.SimpleQueue()
        self._changed = threading.Condition()
        self.api = Api(broker)
        fields = {"start": pb.POSITION_EARLIEST, "session_timeout_ms": SESSION_TIMEOUT_MS, "client_id": "fjord-tests"}
        self.send(subscribe=pb.Subscribe(group=group, topics=topics, **{**fields, **subscribe}))
        self._stream = self.api.consumer.Consume(iter(self._commands.get, None))
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        error = None
        try:
            for response in self._stream:
                with self._changed:
                    self._take(response)
                    self._changed.notify_all()
        except grpc.RpcError as failed:
            error = failed
        with self._changed:
            self.error, self.ended = error, True
            self._changed.notify_all()
        self._commands.put(None)

    def _take(self, response) -> None:
        self.responses.append(response)
        assert response.sequence == len(self.responses), "responses are counted"
        match response.WhichOneof("event"):
            case "assigned":
                self.assignments.append(response.assigned)
            case "revoked":
                self.revocations.append(response.revoked)
                if self.commits:
                    self.send(commit=pb.Commit(id=next(self._ids), through=response.sequence))
                if self.releases:
                    self.send(release=pb.Release())
            case "records":
                part = response.records
                self.batches.append(part)
                self.records += [(part.topic, of_proto(part.partition, record)) for record in part.records]
            case "committed":
                self.committed[response.committed.id] = response.committed
            case "positioned":
                self.positioned[response.positioned.id] = response.positioned

    def send(self, **command) -> None:
        """Gives a command."""
        self._commands.put(pb.ConsumeRequest(**command))

    def wait(self, what: str, found: Callable[[], object], timeout_s: float = TIMEOUT_S):
        """Waits until `found` gives something true, and returns that; fails if the stream ends before."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not (result := found()) and not self.ended and time.monotonic() < deadline:
                # What is waited for may be another member's too, so it is looked at again without a notification.
                self._changed.wait(0.1)
            assert result, f"{what}: in vain; the stream {'ended' if self.ended else 'goes on'}: {self.error}"
            return result

    def stays(self, what: str, wrong: Callable[[], object], for_s: float) -> None:
        """Fails if `wrong` becomes true within a time: for what must never come."""
        with self._changed:
            assert not self._changed.wait_for(wrong, for_s), f"{what}: {wrong()}"

    def joined(self, partitions: int | None = None) -> "Member":
        """Waits until the member has partitions, or so many."""
        wanted = lambda: self.assignments and partitions in (None, len(self.partitions))  # noqa: E731
        self.wait(f"{partitions} partitions are assigned", wanted)
        return self

    @property
    def partitions(self) -> set[tuple[str, int]]:
        """The partitions that the member has now."""
        if len(self.revocations) >= len([a for a in self.assignments if a.partitions]):
            return set()
        return {(place.topic, place.partition) for place in self.assignments[-1].partitions}

    @property
    def values(self) -> list[bytes]:
        """The values of all records so far."""
        return [record.value for _, record in self.records]

    def read(self, count: int) -> list[bytes]:
        """Waits for so many records, and returns the values of all so far."""
        self.wait(f"{count} records, of which {len(self.records)} came", lambda: len(self.records) >= count)
        return self.values

    def commit(self, *offsets, through: int = 0) -> object:
        """Commits offsets, or all that came up to a response, and returns the answer."""
        number = next(self._ids)
        self.send(commit=pb.Commit(id=number, offsets=offsets, through=through))
        return self.wait("the commit is answered", lambda: self.committed.get(number))

    def commit_all(self, through: int | None = None) -> None:
        """Commits all that has come, or up to a response; it must work."""
        answer = self.commit(through=len(self.responses) if through is None else through)
        assert not answer.failures and not answer.HasField("error"), answer

    def seek(self, **place) -> object:
        """Goes on at another place, and returns the answer, behind which nothing comes that was read before."""
        return self._position(lambda number: {"seek": pb.Seek(id=number, **place)})

    def pause(self, *partitions) -> object:
        """Pauses partitions, or all, and returns the answer, behind which none of their records comes."""
        return self._position(lambda number: {"pause": pb.Pause(id=number, partitions=partitions)})

    def resume(self, *partitions) -> object:
        """Lets partitions, or all, go on, and returns the answer."""
        return self._position(lambda number: {"resume": pb.Resume(id=number, partitions=partitions)})

    def _position(self, command: Callable[[int], dict]) -> object:
        number = next(self._ids)
        self.send(**command(number))
        return self.wait("the command is answered", lambda: self.positioned.get(number))

    def leave(self) -> None:
        """Leaves the group, and waits until the broker has ended the stream."""
        self.send(leave=pb.Leave())
        self.end()
        assert self.error is None, self.error

    def end(self) -> grpc.RpcError | None:
        """Waits until the broker ends the stream, and returns why."""
        self.wait("the stream ends", lambda: self.ended)
        self.api.channel.close()
        return self.error

    def vanish(self) -> None:
        """Closes the connection without a word."""
        self.api.channel.close()
        self._commands.put(None)
