"""Installs what the benchmarks need, with the tests' own installer, and builds what they measure."""

import os
import sys
from pathlib import Path

BENCHES = Path(__file__).resolve().parent
sys.path.insert(0, str(BENCHES.parent / "tests" / "runner"))

import install  # noqa: E402


def probe() -> None:
    """The client on Debian's librdkafka."""
    source, program = BENCHES / "probe" / "probe.c", install.CACHE / "bin" / "probe"
    if done := install.changed("probe", [source], [program]):
        install.debian("gcc", "libc6-dev", "librdkafka-dev")
        program.parent.mkdir(parents=True, exist_ok=True)
        warnings = ["-std=gnu17", "-O2", "-Wall", "-Wextra", "-Werror"]
        install.run("cc", *warnings, "-o", program, source, "-lrdkafka", "-lpthread")
        done()


def binaries() -> None:
    """The broker and the command line, unless others are named."""
    if not {"FJORD_BROKER", "FJORD_CLI"} <= os.environ.keys():
        install.run("cargo", "build", "--release", "--locked", "-p", "fjord-broker", "-p", "fjord-cli")


if __name__ == "__main__":
    install.python()
    install.java()
    probe()
    binaries()
