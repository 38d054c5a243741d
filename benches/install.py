"""Installs what the benchmarks need, with the tests' own installer, and builds what they measure."""

import os
import sys
from pathlib import Path

BENCHES = Path(__file__).resolve().parent
sys.path.insert(0, str(BENCHES.parent / "tests" / "runner"))

import install  # noqa: E402

PROGRAMS = install.CACHE / "bin"


def probes() -> None:
    """The clients in C: one on Debian's librdkafka, one without a library."""
    sources = {"probe": ["-lrdkafka", "-lpthread"], "connections": []}
    folder = BENCHES / "probe"
    if done := install.changed("probe", sorted(folder.glob("*.[ch]")), [PROGRAMS / name for name in sources]):
        install.debian("gcc", "libc6-dev", "librdkafka-dev")
        PROGRAMS.mkdir(parents=True, exist_ok=True)
        warnings = ["-std=gnu17", "-O2", "-Wall", "-Wextra", "-Werror"]
        for name, libraries in sources.items():
            install.run("cc", *warnings, "-o", PROGRAMS / name, folder / f"{name}.c", *libraries)
        done()


def nats() -> None:
    """NATS and its client, at the versions of `nats/go.mod`: Debian's server does not know `sync_interval`."""
    folder = BENCHES / "nats"
    inputs = [*sorted(folder.glob("*.go")), folder / "go.sum"]
    if done := install.changed("nats", inputs, [PROGRAMS / "nats", PROGRAMS / "nats-server"]):
        install.go_compiler()
        install.run("go", "build", "-o", f"{PROGRAMS}/", ".", "github.com/nats-io/nats-server/v2", cwd=folder)
        done()


def binaries() -> None:
    """The broker and the command line, unless others are named."""
    if not {"FJORD_BROKER", "FJORD_CLI"} <= os.environ.keys():
        install.run("cargo", "build", "--release", "--locked", "-p", "fjord-broker", "-p", "fjord-cli")


if __name__ == "__main__":
    install.python()
    install.java()
    probes()
    nats()
    binaries()
