"""Runs suites and puts their tables into the page of the benchmarks. `benches/run` calls this; it has the usage."""

import argparse
import re
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

BENCHES = Path(__file__).resolve().parent
# The tests' harness starts the servers, and knows where Kafka's tools are.
sys.path.insert(0, str(BENCHES.parent / "tests"))

from harness.paths import REPOSITORY  # noqa: E402
from java import jvm  # noqa: E402

import grpc_suite  # noqa: E402
import kafka_suite  # noqa: E402
from samples import Samples  # noqa: E402
from suite import Options, Run, Suite  # noqa: E402

SUITES = {suite.name: suite for suite in (grpc_suite.SUITE, kafka_suite.SUITE)}
PAGE = REPOSITORY / "docs" / "benchmarks.md"
RAW = REPOSITORY / "docs" / "benchmarks"
CHECK = Options(rounds=1, seconds=1, is_check=True)


def write(suite: Suite, samples: Samples) -> None:
    """Puts a suite's tables between its marks in the page, and the raw numbers beside it."""
    samples.save(RAW / f"{suite.name}.jsonl")
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
    parser.add_argument("--seconds", type=float, default=10, help="about how long each measurement takes")
    parser.add_argument(
        "--only", type=re.compile, default=re.compile(""), metavar="REGEX", help="only these cells; nothing is written"
    )
    parser.add_argument("--render", action="store_true", help="write the tables again from the raw numbers")
    given = parser.parse_args()
    for suite in (SUITES[name] for name in given.suites or SUITES):
        if given.render:
            write(suite, Samples.load(RAW / f"{suite.name}.jsonl"))
            continue
        jvm.prepare()
        run = Run(replace(CHECK, only=given.only) if given.check else Options(given.rounds, given.seconds, given.only))
        with closing(run):
            suite.run(run)
        tables = suite.render(run.samples)
        print(tables)
        if not given.check and not given.only.pattern:
            write(suite, run.samples)


if __name__ == "__main__":
    main()
