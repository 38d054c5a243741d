"""The `fjord` binary as a person or a script runs it: arguments in, output and an exit code out."""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harness.paths import REPOSITORY

BINARY = Path(os.environ.get("FJORD_CLI", REPOSITORY / "target" / "release" / "fjord")).absolute()
TIMEOUT_S = 60

OK, FAILED, USAGE, CONNECT, NOT_FOUND, TIMED_OUT = range(6)
"""The exit codes that the manual promises."""


def environment() -> dict[str, str]:
    """That of the tests without FJORD_*, of which FJORD_BROKER is the address of a broker to the command line."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FJORD_")}
    return {**kept, "TZ": "UTC"}


@dataclass(frozen=True)
class Outcome:
    """What a command that has ended has said."""

    code: int
    stdout: bytes
    stderr: str

    @property
    def text(self) -> str:
        return self.stdout.decode()

    @property
    def json(self):
        """The one JSON document on standard output."""
        return json.loads(self.stdout)

    @property
    def rows(self) -> list:
        """The JSON documents on standard output, one a line."""
        return [json.loads(line) for line in self.stdout.splitlines()]

    @property
    def error(self) -> dict:
        """The failure, told as JSON on standard error and nothing else there."""
        told = json.loads(self.stderr)
        assert list(told) == ["error"]
        assert told["error"]["exit_code"] == self.code
        assert {"kind", "message", "exit_code"} <= set(told["error"])
        return told["error"]


class Fjord:
    """Runs `fjord` against one broker."""

    def __init__(self, address: str):
        self.address = address
        self._running: list[Running] = []

    def run(self, *arguments, stdin: bytes = b"", code: int = OK, timeout_s: float = TIMEOUT_S) -> Outcome:
        """Runs a command to its end, and demands this exit code; a panic is never right."""
        running = self.start(*arguments)
        if stdin:
            running.write(stdin)
        running.end_input()
        return running.finish(code, timeout_s)

    def json(self, *arguments, **options):
        """The one document that a command prints as JSON."""
        return self.run(*arguments, "--output", "json", **options).json

    def rows(self, *arguments, **options) -> list:
        """The documents that a command prints as JSON, one a line."""
        return self.run(*arguments, "--output", "json", **options).rows

    def refused(self, *arguments, code: int = FAILED, **options) -> dict:
        """How a command fails, as JSON; also that without JSON it says the same in one line."""
        told = self.run(*arguments, code=code, **options).stderr
        error = self.run(*arguments, "--output", "json", code=code, **options).error
        if error["kind"] != "usage":
            assert told.startswith("fjord: ") and len(told.splitlines()) == 1, told
        assert len(error["message"].split()) >= 3, f"{error['message']!r} is not a sentence"
        return error

    def start(self, *arguments) -> "Running":
        """Starts a command and lets it run."""
        self._running.append(Running([str(BINARY), "--broker", self.address, *map(str, arguments)]))
        return self._running[-1]

    def close(self) -> None:
        """Ends what still runs."""
        for running in self._running:
            running.close()


class Running:
    """A command that runs; its output is collected as it comes."""

    def __init__(self, command: list[str]):
        self.command = command
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment())
        self._changed = threading.Condition()
        self._output = {"stdout": b"", "stderr": b""}
        self._readers = [threading.Thread(target=self._read, args=(name,), daemon=True) for name in self._output]
        for reader in self._readers:
            reader.start()

    def _read(self, name: str) -> None:
        while data := os.read(getattr(self.process, name).fileno(), 1 << 16):
            with self._changed:
                self._output[name] += data
                self._changed.notify_all()

    @property
    def stdout(self) -> bytes:
        """What came so far."""
        with self._changed:
            return self._output["stdout"]

    @property
    def rows(self) -> list:
        """The JSON documents that came so far, one a line."""
        return [json.loads(line) for line in self.stdout.splitlines(keepends=True) if line.endswith(b"\n")]

    def write(self, data: bytes) -> None:
        """Writes to its standard input. That it does not want all of it is no failure of the test."""
        with suppress(BrokenPipeError):
            self.process.stdin.write(data)
            self.process.stdin.flush()

    def end_input(self) -> None:
        """Closes its standard input."""
        with suppress(BrokenPipeError):
            self.process.stdin.close()

    def wait(self, what: str, found: Callable[[], object], timeout_s: float = TIMEOUT_S):
        """Waits until `found` gives something true, which it returns, while the command runs."""
        deadline = time.monotonic() + timeout_s
        while not (result := found()):
            assert self.process.poll() is None, self._report(f"ended before: {what}")
            assert time.monotonic() < deadline, self._report(f"in vain for {timeout_s} s: {what}")
            with self._changed:
                self._changed.wait(0.05)
        return result

    def signal(self, number: signal.Signals) -> None:
        """Sends it a signal."""
        self.process.send_signal(number)

    def finish(self, code: int = OK, timeout_s: float = TIMEOUT_S) -> Outcome:
        """Waits for its end, and demands this exit code."""
        try:
            ended = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.close()
            raise AssertionError(self._report(f"did not end within {timeout_s} s")) from None
        for reader in self._readers:
            reader.join(timeout_s)
        outcome = Outcome(ended, self._output["stdout"], self._output["stderr"].decode(errors="replace"))
        assert "panicked" not in outcome.stderr, self._report("panicked")
        assert ended == code, self._report(f"ended with {ended}, not {code}")
        return outcome

    def close(self) -> None:
        """Ends it if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.end_input()
        for reader in self._readers:
            reader.join(TIMEOUT_S)
        self.process.stdout.close()
        self.process.stderr.close()

    def _report(self, what: str) -> str:
        shown = {name: data[-4000:].decode(errors="replace") for name, data in self._output.items()}
        return f"{' '.join(self.command)}: {what}\n--- stdout ---\n{shown['stdout']}\n--- stderr ---\n{shown['stderr']}"
