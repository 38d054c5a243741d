"""A load that runs by itself, as in a pod: `python -m harness.load ARGUMENTS`, the arguments as JSON.

It goes on until SIGTERM, and tells on the way how far it is. Then it reads everything back, and its last line is the
verdict. All lines are JSON: `{"progress": ...}` and `{"verdict": ...}`.
"""

import json
import signal
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

from .checker import Outcome, place, violations
from .client import ROUND_RECORDS
from .clients import Clients
from .pace import pace

PROGRESS_S = 1.0
SHOWN = 20


@dataclass(frozen=True)
class Arguments:
    """What the load is told."""

    bootstrap: str
    topics: dict[str, int]
    """The topics, with their numbers of partitions."""
    rate: float = 300
    """Records in a second, in each topic."""
    producer: dict | None = None
    """Settings of the producer, beyond its defaults."""


def verdict(outcome: Outcome) -> dict:
    """What became of it: how much there was, how fast, and what was wrong, by rules of the checker."""
    found = violations(outcome)
    rules = [said.split(":", 1)[0] for said in found]
    counts = {kind: len(outcome.of(kind)) for kind in ("sent", "acknowledged", "consumed")}
    wrong = {rule: rules.count(rule) for rule in sorted(set(rules))}
    return {**counts, **pace(outcome.events).as_dict(), "wrong": wrong, "said": found[:SHOWN]}


def progress(clients: Clients) -> dict:
    """How far it is; `partitions` are those that the group has begun to read."""
    events = clients.events()
    kinds = [event["event"] for event in events]
    read = {place(event) for event in events if event["event"] == "consumed"}
    return {**{kind: kinds.count(kind) for kind in ("acknowledged", "consumed", "failed")}, "partitions": len(read)}


def main(arguments: str) -> None:
    told = Arguments(**json.loads(arguments))
    halt = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: halt.set())
    command = [sys.executable, "-m", "harness.load.client"]
    producers = {"producer": ("produce", told.producer or {})}
    with tempfile.TemporaryDirectory() as directory:
        pause_s = ROUND_RECORDS / told.rate
        clients = Clients(command, Path(directory) / "load", told.bootstrap, told.topics, producers, pause_s=pause_s)
        try:
            while not halt.wait(PROGRESS_S):
                print(json.dumps({"progress": progress(clients)}), flush=True)
            print(json.dumps({"verdict": verdict(clients.finish())}), flush=True)
        finally:
            clients.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
