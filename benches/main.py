"""Runs suites and puts their tables into the page of the benchmarks. `benches/run` calls this; it has the usage."""

import argparse
import re
import signal
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

BENCHES = Path(__file__).resolve().parent
# The tests' harness starts the servers, and knows where Kafka's tools are.
sys.path.insert(0, str(BENCHES.parent / "tests"))

from harness.paths import REPOSITORY  # noqa: E402
from java import jvm  # noqa: E402

import cluster_suite  # noqa: E402
import grpc_suite  # noqa: E402
import kafka_suite  # noqa: E402
import machine  # noqa: E402
from samples import Samples  # noqa: E402
from suite import Options, Run, Suite  # noqa: E402

SUITES = {suite.name: suite for suite in (grpc_suite.SUITE, kafka_suite.SUITE, cluster_suite.SUITE)}
PAGE = REPOSITORY / "docs" / "benchmarks.md"
RAW = REPOSITORY / "docs" / "benchmarks"
CHECK = Options(rounds=1, seconds=0.3, warm_up_s=0.3, settle_s=0.1, quiet_s=0, is_check=True)


def write(suite: Suite, samples: Samples) -> None:
    """Puts a suite's tables between its marks in the page, and the raw numbers and the pictures beside it."""
    samples.save(RAW / f"{suite.name}.jsonl")
    for name, picture in suite.plots(samples).items():
        (RAW / name).write_text(picture)
    begin, end = f"<!-- begin {suite.name} -->", f"<!-- end {suite.name} -->"
    page = PAGE.read_text()
    between = re.compile(f"(?<={re.escape(begin)}\n).*?(?={re.escape(end)})", re.DOTALL)
    if not between.search(page):
        raise SystemExit(f"{PAGE} has no place for this suite: it needs the lines {begin} and {end}")
    PAGE.write_text(between.sub(lambda _: suite.render(samples), page))


def main() -> None:
    parser = argparse.ArgumentParser(prog="benches/run", description="Measures this broker beside others.")
    parser.add_argument("suites", nargs="*", choices=[[], *SUITES], help="all of them unless named")
    parser.add_argument("--check", action="store_true", help="only see that everything works; nothing is written")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4, help="about how long each measurement takes")
    parser.add_argument("--warm-up", type=float, default=15, help="seconds for which a server works before it is measured")
    parser.add_argument(
        "--only", type=re.compile, default=re.compile(""), metavar="REGEX", help="only these cells; nothing is written"
    )
    parser.add_argument("--render", action="store_true", help="write the tables again from the raw numbers")
    given = parser.parse_args()
    # Servers are stopped, and their data removed, on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))
    for suite in (SUITES[name] for name in given.suites or SUITES):
        if given.render:
            write(suite, Samples.load(RAW / f"{suite.name}.jsonl"))
            continue
        jvm.prepare()
        run = Run(options(given))
        run.samples.facts = {**machine.facts(), **measured(run.options)}
        with closing(run):
            suite.run(run)
        print(suite.render(run.samples))
        if given.check:
            # That they can be drawn is seen too.
            suite.plots(run.samples)
        elif not given.only.pattern:
            write(suite, run.samples)


def options(given: argparse.Namespace) -> Options:
    """What is measured, as the command line asks for it."""
    if given.check:
        return replace(CHECK, only=given.only)
    return Options(given.rounds, given.seconds, given.warm_up, only=given.only)


def measured(options: Options) -> dict[str, str]:
    """How long was measured, to be told beside the figures."""
    return {"rounds": f"{options.rounds}, {options.seconds:g} s each, after {options.warm_up_s:g} s of warm-up"}


if __name__ == "__main__":
    main()
