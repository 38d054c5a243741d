"""A broker as a child process: start, stop, kill, restart, and its log. What is common to all brokers."""

import os
import re
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path

READY_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 90.0
LOG_TAIL_LINES = 60


class ServerFailed(AssertionError):
    """The broker did not start, did not stop as it should, or said something it must never say."""


class Server(ABC):
    """One broker process with its data directory, ports that survive restarts, and a log file."""

    name: str
    forbidden_in_log: re.Pattern
    clean_exit_codes = (0,)

    def __init__(self, directory: Path, settings: dict[str, str] | None = None):
        """`settings` are broker configs by their Kafka names."""
        self.directory = directory
        self.settings = dict(settings or {})
        self.process: subprocess.Popen | None = None
        self.ready_after_s = 0.0
        directory.mkdir(parents=True, exist_ok=True)
        self.log_path = directory / f"{self.name}.log"
        self._log_checked_to = 0

    @property
    @abstractmethod
    def bootstrap(self) -> str:
        """`host:port` of the Kafka listener."""

    @abstractmethod
    def command(self) -> list[str]:
        """The command line that runs the broker in the foreground."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether the broker accepts work now."""

    def spawn(self) -> subprocess.Popen:
        """Starts the process without waiting for anything; the caller must end it."""
        with open(self.log_path, "ab") as log:
            return subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env=broker_environment(),
                # A group of its own: a Ctrl-C for the tests must not reach the broker before they stop it.
                start_new_session=True,
            )

    def start(self, timeout_s: float = READY_TIMEOUT_S) -> "Server":
        """Starts the process and waits until it is ready."""
        assert self.process is None, f"{self.name} is already running"
        started = time.monotonic()
        self.process = self.spawn()
        while not self.is_ready():
            if self.process.poll() is not None:
                code, self.process = self.process.returncode, None
                raise ServerFailed(f"{self.name} ended with {code} before it was ready\n{self.log_tail()}")
            if time.monotonic() - started > timeout_s:
                self.kill()
                raise ServerFailed(f"{self.name} was not ready within {timeout_s} s\n{self.log_tail()}")
            time.sleep(0.02)
        self.ready_after_s = time.monotonic() - started
        return self

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Asks the process to end (SIGTERM) and demands a clean exit."""
        assert self.process is not None, f"{self.name} is not running"
        self.process.send_signal(signal.SIGTERM)
        self.wait_stopped(timeout_s)

    def wait_stopped(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Waits for the end of the process, which was asked for, and demands a clean exit."""
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ServerFailed(f"{self.name} did not end within {timeout_s} s of SIGTERM\n{self.log_tail()}") from None
        self.process = None
        if code not in self.clean_exit_codes:
            raise ServerFailed(f"{self.name} ended with {code} after SIGTERM\n{self.log_tail()}")
        self.check_log()

    def kill(self) -> None:
        """Ends the process at once (SIGKILL), as a crash would."""
        assert self.process is not None, f"{self.name} is not running"
        self.process.kill()
        self.process.wait()
        self.process = None

    def restart(self) -> None:
        """Stops and starts on the same ports and data."""
        self.stop()
        self.start()

    @property
    def pid(self) -> int:
        """The process id of the running broker."""
        assert self.process is not None, f"{self.name} is not running"
        return self.process.pid

    def check_log(self) -> None:
        """Fails if the broker died, or if its log since the last check holds what it must never hold."""
        if self.process is not None and self.process.poll() is not None:
            code, self.process = self.process.returncode, None
            raise ServerFailed(f"{self.name} ended by itself with {code}\n{self.log_tail()}")
        with open(self.log_path, "rb") as log:
            log.seek(self._log_checked_to)
            text = log.read()
        self._log_checked_to += len(text)
        for line in text.decode(errors="replace").splitlines():
            if self.forbidden_in_log.search(line):
                raise ServerFailed(f"{self.name} logged: {line}\n{self.log_tail()}")

    def check_after(self, test) -> None:
        """At the end of a test (the item of pytest): shows the last lines of the log if it failed, and checks the log."""
        report = getattr(test, "report_call", None)
        if report is not None and report.failed:
            print(self.log_tail())
        self.check_log()

    def memory_mib(self) -> float:
        """Resident memory."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)[1]) / 1024

    def log_tail(self, lines: int = LOG_TAIL_LINES) -> str:
        """The last lines of the log, under a heading that names the file."""
        if not self.log_path.exists():
            return "(no log)"
        tail = self.log_path.read_text(errors="replace").splitlines()[-lines:]
        return "\n".join([f"--- the last lines of {self.log_path} ---", *tail])

    def __enter__(self) -> "Server":
        return self.start() if self.process is None else self

    def __exit__(self, kind, *_):
        if kind is not None:
            print(self.log_tail(), file=sys.stderr)
        if self.process is None:
            return
        if kind is None:
            self.stop()
        else:
            self.kill()


def broker_environment() -> dict[str, str]:
    """The environment of a broker: that of the tests without FJORD_*, which a broker takes for configs."""
    return {name: value for name, value in os.environ.items() if not name.startswith("FJORD_")}


def peer_name() -> str:
    """Which broker the tests run against: `fjord`, or `kafka` by FJORD_TEST_PEER=kafka."""
    name = os.environ.get("FJORD_TEST_PEER", "fjord")
    if name not in ("fjord", "kafka"):
        raise ValueError(f"FJORD_TEST_PEER is {name!r}; it must be 'fjord' or 'kafka'")
    return name
