"""Drives the client programs of `tests/clients`: one child process each, JSON lines in and out.

Every client library is wrapped in a small program with the same four commands, so that what is
demanded stands once, in the tests. `tests/clients/README.md` has the contract.
"""

import json
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .records import Record

ANSWER_TIMEOUT_S = 60.0
ERROR_TAIL_LINES = 40


@dataclass(frozen=True)
class Client:
    """A client library: how its program is run and what it cannot express."""

    name: str
    command: tuple[str, ...]
    codecs: tuple[str, ...] = ("none", "gzip", "snappy", "lz4", "zstd")
    timestamps: bool = True
    """Whether a producer can set the time of a record."""
    headers_by_name: bool = False
    """Whether headers come back as a map, so that the order of different names is lost."""
    null_headers: bool = True
    """Whether a header can be without a value."""
    null_records: bool = True
    """Whether a producer can send a record that has neither key nor value."""

    def __str__(self) -> str:
        return self.name


class ProgramFailed(AssertionError):
    """A client program ended, or did not answer in time."""


class Program:
    """A running client program; its events are collected by a thread of their own."""

    def __init__(self, client: Client, command: str, arguments: dict, directory: Path, label: str = ""):
        self.name = "-".join(part for part in (client.name, command, label) if part)
        self.events: list[dict] = []
        self._changed = threading.Condition()
        self._error_path = directory / f"{self.name}-{time.monotonic_ns()}.err"
        with open(self._error_path, "wb") as errors:
            self.process = subprocess.Popen(
                [*client.command, command, json.dumps(arguments)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
            )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            event = json.loads(line)
            with self._changed:
                self.events.append(event)
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def send(self, *messages: dict) -> None:
        """Writes messages to the program's standard input, one line each."""
        try:
            self.process.stdin.write("".join(json.dumps(message) + "\n" for message in messages))
            self.process.stdin.flush()
        except BrokenPipeError:
            raise ProgramFailed(self.report("closed its input")) from None

    def end_input(self) -> None:
        """Closes the program's standard input: no more messages will come."""
        self.process.stdin.close()

    def of(self, kind: str, since: int = 0) -> list[dict]:
        """The events of one kind so far, from the given position on."""
        with self._changed:
            return [event for event in self.events[since:] if event["event"] == kind]

    def wait(self, what: str, found: Callable[[], object], timeout_s: float = ANSWER_TIMEOUT_S):
        """Waits until `found` gives something true, which it returns; looks again after every event."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not (result := found()):
                ended = not self._reader.is_alive()
                if ended or time.monotonic() > deadline:
                    raise ProgramFailed(self.report(f"{'ended' if ended else 'waited in vain'} before: {what}"))
                self._changed.wait(0.2)
            return result

    def finish(self, timeout_s: float = ANSWER_TIMEOUT_S) -> list[dict]:
        """Waits for the program's end, demands success and returns all events."""
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise ProgramFailed(self.report(f"did not end within {timeout_s} s")) from None
        self._reader.join(timeout_s)
        if code != 0:
            raise ProgramFailed(self.report(f"ended with {code}"))
        return self.events

    def close(self) -> None:
        """Ends the program if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join(ANSWER_TIMEOUT_S)

    def report(self, what: str) -> str:
        """What a failed test shows of this program."""
        errors = self._error_path.read_text(errors="replace").splitlines()[-ERROR_TAIL_LINES:]
        last = [event for event in self.events[-5:]]
        return "\n".join([f"{self.name} {what}", f"last events: {last}", "--- its errors ---", *errors])


class ProducerProgram(Program):
    """A producer that stays alive until its input is closed."""

    def __init__(self, client: Client, arguments: dict, directory: Path):
        super().__init__(client, "produce", arguments, directory)
        self.sent: list[Record] = []

    def produce(self, records: list[Record]) -> None:
        """Hands records to the producer; their acknowledgements come later."""
        self.sent += records
        self.send(*(record.to_json() for record in records))

    def delivered(self) -> dict[int, tuple[int, int]]:
        """Where each acknowledged record is: index in the order of sending to partition and offset."""
        places: dict[int, tuple[int, int]] = {}
        for event in self.of("delivered"):
            assert event["index"] not in places, f"record {event['index']} was acknowledged twice"
            places[event["index"]] = (event["partition"], event["offset"])
        return places

    def wait_delivered(self, count: int | None = None, timeout_s: float = ANSWER_TIMEOUT_S) -> dict[int, tuple[int, int]]:
        """Waits until so many records (all that were sent, by default) are acknowledged."""
        wanted = len(self.sent) if count is None else count
        self.wait(f"{wanted} acknowledgements", lambda: len(self.of("delivered")) >= wanted, timeout_s)
        return self.delivered()


class MemberProgram(Program):
    """A member of a consumer group, with auto-commit off: it commits when told."""

    def __init__(self, client: Client, arguments: dict, directory: Path, label: str):
        super().__init__(client, "group", arguments, directory, label)

    @property
    def assigned(self) -> list[int] | None:
        """The partitions that this member owns now; None before its first assignment."""
        events = self.of("assigned")
        return sorted(events[-1]["partitions"]) if events else None

    def records(self, since: int = 0) -> list[Record]:
        """What this member received so far, from the given position in its events on."""
        return [Record.from_json(event) for event in self.of("record", since)]

    def commit(self) -> bool:
        """Commits what this member has received; False if a rebalance came between."""
        before = len(self.events)
        self.send({"command": "commit"})
        answers = ("committed", "commit_failed")
        find = lambda: [event for event in self.events[before:] if event["event"] in answers]  # noqa: E731
        return self.wait("an answer to commit", find)[0]["event"] == "committed"

    def stop(self) -> None:
        """Leaves the group and ends."""
        self.send({"command": "stop"})
        self.finish()


def run(client: Client, command: str, arguments: dict, directory: Path) -> list[dict]:
    """Runs a program to its end and returns its events."""
    program = Program(client, command, arguments, directory)
    try:
        program.end_input()
        return program.finish()
    finally:
        program.close()
