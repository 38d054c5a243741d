"""Runs steps, two at a time, and tells how they ended. `tests/run` calls this; it has the usage."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

import install
from install import REPOSITORY
from steps import STEPS, Step, chosen, log_path

LANES = 2
STEP_LIMIT_S = {"quick": 1200, "normal": 2400, "long": 6 * 3600}
"""How long one step may take before it counts as hanging."""
STOP_GRACE_S = 60
FAILURE_LINES = 150

# The closing lines of the runners in use, each with the number of tests that passed, failed and were skipped.
CARGO_LINE = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored", re.MULTILINE)
PYTEST_LINE = re.compile(r"^(?=.* in [\d.]+s)(?=.*\b(?:passed|failed|error|skipped))=*\s*(.*)$", re.MULTILINE)
SKIP_LINE = re.compile(r"^SKIPPED \[\d+\] [^ ]+: (.*)$", re.MULTILINE)
ONLY_LONG = "only with --long"
PYTEST_COUNT = re.compile(r"(\d+) (passed|failed|error|skipped)")

_running: set[subprocess.Popen] = set()
_stopping = threading.Event()


@dataclass(frozen=True)
class Counts:
    """How many tests there were."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)


@dataclass(frozen=True)
class Outcome:
    """How a step ended."""

    step: Step
    counts: Counts
    seconds: float
    note: str = ""


def counts(text: str, ok: bool) -> Counts:
    """The tests in a step's output; a step without a runner of tests counts as one."""
    found = [Counts(*map(int, line)) for line in CARGO_LINE.findall(text)]
    for line in PYTEST_LINE.findall(text):
        of = {kind: int(count) for count, kind in PYTEST_COUNT.findall(line)}
        found.append(Counts(of.get("passed", 0), of.get("failed", 0) + of.get("error", 0), of.get("skipped", 0)))
    total = sum(found, Counts()) if found else Counts(passed=int(ok))
    return total if ok or total.failed else total + Counts(failed=1)


def run_command(command: list[str], step: Step, log, limit_s: float) -> bool:
    """Runs one command of a step; its whole process group is ended when it takes too long."""
    log.write(f"$ {' '.join(command)}\n")
    log.flush()
    environment = {**install.environment(), **dict(step.variables)}
    process = subprocess.Popen(
        command, cwd=REPOSITORY, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
    )
    _running.add(process)
    try:
        return process.wait(limit_s) == 0
    except subprocess.TimeoutExpired:
        log.write(f"\nended after {limit_s:.0f} s\n")
        end(process)
        return False
    finally:
        _running.discard(process)


def end(process: subprocess.Popen) -> None:
    """Asks a command to end, with a while to end its own brokers, and then makes it."""
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(STOP_GRACE_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def run_step(step: Step, form: str) -> Outcome:
    """Installs what the step needs, and runs its commands until one fails."""
    started = time.monotonic()
    path = log_path(step)
    path.parent.mkdir(parents=True, exist_ok=True)
    print(f"{step.name}: started", flush=True)
    with open(path, "w") as log:
        ok = True
        for command in step.commands(form):
            left = STEP_LIMIT_S[form] - (time.monotonic() - started)
            ok = ok and not _stopping.is_set() and run_command(command, step, log, left)
    return Outcome(step, counts(path.read_text(errors="replace"), ok), time.monotonic() - started)


def install_all(steps: list[Step]) -> None:
    """Installs what the steps need, one after the other: apt-get and pip each want to be alone."""
    for need in dict.fromkeys(need for step in steps for need in step.needs):
        print(f"install {need.__name__}: {need.__doc__.splitlines()[0]}", flush=True)
        need()


def run_all(steps: list[Step], form: str) -> list[Outcome]:
    """Runs steps, two at a time, each after those it waits for."""
    left, outcomes = list(steps), []
    running: dict[Future, Step] = {}
    with ThreadPoolExecutor(LANES) as lanes:
        while left or running:
            while len(running) < LANES and (step := next_step(left, list(running.values()))):
                left.remove(step)
                running[lanes.submit(run_step, step, form)] = step
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                del running[future]
                outcome = future.result()
                outcomes.append(outcome)
                report(outcome)
                left = drop_dependents(outcome, left, outcomes)
    return outcomes


def next_step(left: list[Step], running: list[Step]) -> Step | None:
    """The first step that need not wait for one that is still to come, nor for what another one uses."""
    unfinished = {step.name for step in [*left, *running]}
    used = {step.uses for step in running}
    for step in left:
        if not unfinished & set(step.after) and (step.uses is None or step.uses not in used):
            return step
    return None


def drop_dependents(outcome: Outcome, left: list[Step], outcomes: list[Outcome]) -> list[Step]:
    """After a failed step, those that come after it fail too, without being run."""
    if not outcome.counts.failed:
        return left
    dropped = [step for step in left if outcome.step.name in step.after]
    outcomes += [Outcome(step, Counts(failed=1), 0, f"not run: {outcome.step.name} failed") for step in dropped]
    return [step for step in left if step not in dropped]


def report(outcome: Outcome) -> None:
    """Tells how a step ended, with the end of its output when it failed."""
    result = "FAILED" if outcome.counts.failed else "ok"
    print(f"{outcome.step.name}: {result} after {outcome.seconds:.0f} s", flush=True)
    if outcome.counts.failed:
        lines = log_path(outcome.step).read_text(errors="replace").splitlines()[-FAILURE_LINES:]
        print("\n".join(f"  {outcome.step.name} | {line}" for line in lines), flush=True)


def summary(outcomes: list[Outcome], seconds: float) -> None:
    """The table of all steps and the closing line."""
    print(f"\n{'step':<12}{'result':<8}{'passed':>8}{'failed':>8}{'skipped':>8}{'seconds':>9}")
    for outcome in outcomes:
        result = "FAILED" if outcome.counts.failed else "ok"
        of = outcome.counts
        row = f"{outcome.step.name:<12}{result:<8}{of.passed:>8}{of.failed:>8}{of.skipped:>8}{outcome.seconds:>9.0f}"
        print(f"{row}  {outcome.note}".rstrip())
    print(f"all steps together took {seconds:.0f} s\n")
    total = sum((outcome.counts for outcome in outcomes), Counts())
    for name, reason in skip_reasons(outcomes):
        print(f"{name}: skipped: {reason}")
    skipped = f", {total.skipped} skipped" if total.skipped else ""
    print(f"{total.passed} passed, {total.failed} failed{skipped}", flush=True)


def skip_reasons(outcomes: list[Outcome]) -> list[tuple[str, str]]:
    """Why steps left something out that belongs to this form; in none of their words twice."""
    logs = {each.step.name: log_path(each.step) for each in outcomes if each.counts.skipped and log_path(each.step).exists()}
    found = [(name, reason) for name, path in logs.items() for reason in SKIP_LINE.findall(path.read_text(errors="replace"))]
    return [each for each in dict.fromkeys(found) if each[1] != ONLY_LONG]


def interrupt(*_) -> None:
    """Ends what runs, and with it the run."""
    _stopping.set()
    for process in list(_running):
        os.killpg(process.pid, signal.SIGTERM)


def main(names: list[str]) -> int:
    if names == ["list"]:
        print("\n".join(f"{step.name:<12}{', '.join(step.groups)}" for step in STEPS))
        return 0
    started = time.monotonic()
    only_install = names[:1] == ["install"]
    steps, form = chosen((names[1:] if only_install else names) or ["normal"])
    install_all(steps)
    if only_install:
        return 0
    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGINT, interrupt)
    outcomes = run_all(steps, form)
    summary(outcomes, time.monotonic() - started)
    return 1 if any(outcome.counts.failed for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
