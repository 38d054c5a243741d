"""The steps of the test command. To add one, add a line to STEPS."""

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import install
from install import CACHE, PYTHON, REPOSITORY, TESTS

PEER_IS_KAFKA = os.environ.get("FJORD_TEST_PEER") == "kafka"
FUZZ_SECONDS = {"quick": 5, "normal": 20, "long": 1800}
SIM_SEEDS = {"quick": 50, "normal": 300, "long": 10_000}

Command = list[str]


@dataclass(frozen=True)
class Step:
    """One part of the tests: what it needs, after which steps it can run, and its commands by form."""

    name: str
    commands: Callable[[str], list[Command]]
    """From the form (quick, normal, long) to what is run, in order."""
    needs: tuple[Callable[[], None], ...] = ()
    after: tuple[str, ...] = ()
    uses: str | None = None
    """What only one step at a time can use."""
    groups: tuple[str, ...] = ("normal", "long")
    variables: tuple[tuple[str, str], ...] = ()


def always(*commands: Command) -> Callable[[str], list[Command]]:
    """The same commands in every form."""
    return lambda _: list(commands)


def cargo(*arguments: str) -> Command:
    """A command of Cargo with the versions of Cargo.lock."""
    return ["cargo", *arguments, "--locked"]


def pytest(*folders: str, quick: tuple[str, ...] = ()) -> Callable[[str], list[Command]]:
    """The tests in some folders of `tests`; the quick form may select from them."""

    def command(form: str) -> list[Command]:
        extra = {"quick": list(quick), "normal": [], "long": ["--long"]}[form]
        paths = [str(TESTS / folder) for folder in folders]
        return [[str(PYTHON), "-m", "pytest", "-q", "-c", str(TESTS / "pytest.ini"), "--durations=5", *extra, *paths]]

    return command


def with_mounts(commands: Callable[[str], list[Command]]) -> Callable[[str], list[Command]]:
    """The same commands where file systems can be mounted: without root or sudo that is a user namespace."""

    def command(form: str) -> list[Command]:
        may_sudo = shutil.which("sudo") and subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0
        prefix = [] if os.geteuid() == 0 or may_sudo else ["unshare", "--map-root-user", "--mount"]
        return [[*prefix, *each] for each in commands(form)]

    return command


def with_networks(commands: Callable[[str], list[Command]]) -> Callable[[str], list[Command]]:
    """The same commands where network namespaces can be made and file systems mounted: without root a user namespace.

    Where that cannot be had either, the tests say so.
    """

    def command(form: str) -> list[Command]:
        own = ["unshare", "--map-root-user", "--mount", "--net"]
        needs_own = os.geteuid() != 0 and subprocess.run([*own, "true"], capture_output=True).returncode == 0
        return [[*(own if needs_own else []), *each] for each in commands(form)]

    return command


def fuzz(form: str) -> list[Command]:
    """Every fuzz target of every crate for a bounded time, from its corpus; what it finds goes elsewhere."""
    commands = []
    for manifest in sorted(REPOSITORY.glob("broker/*/fuzz/Cargo.toml")):
        folder = manifest.parent
        for target in sorted(path.stem for path in (folder / "fuzz_targets").glob("*.rs")):
            found = CACHE / "fuzz" / folder.parent.name / target
            found.mkdir(parents=True, exist_ok=True)
            corpus = [str(found), *(str(path) for path in [folder / "corpus" / target] if path.exists())]
            limits = [f"-max_total_time={FUZZ_SECONDS[form]}", "-rss_limit_mb=1024", "-timeout=30"]
            run = ["cargo", "fuzz", "run", "--fuzz-dir", str(folder), target, *corpus, "--", *limits]
            commands.append(run)
    return commands


def sim(form: str) -> list[Command]:
    """Simulates so many seeds, and sees that the known mistakes are found."""
    run = [*cargo("run", "--release", "-p", "fjord-sim"), "--", "--seeds", str(SIM_SEEDS[form])]
    mistakes = cargo("test", "--release", "-p", "fjord-sim", "--features", "mistakes", "--test", "mistakes")
    return [run, mistakes] if form == "long" else [run]


BUILD = ("build",)
CHECK = ("check",)
EVERY = ("quick", "normal", "long")
RUSTDOC = (("RUSTDOCFLAGS", "-D warnings"),)
# cargo-fuzz asks the compiler for instrumentation that the stable one has, but does not offer.
SANITIZER = (("RUSTC_BOOTSTRAP", "1"),)
PYTHON_CODE = [str(TESTS), str(REPOSITORY / "benches")]
CLIENT_NEEDS = (install.python, install.kcat, install.librdkafka, install.node, install.go)
PYTHON_NEEDS = (install.python, install.kcat)
# Those of the tests of Kubernetes that need no cluster.
CHART = tuple(str(path.relative_to(TESTS)) for path in sorted((TESTS / "kube").glob("test_chart*.py")))

STEPS = [
    Step(
        "build",
        # The second one is README's command: it must know which of the binaries is meant.
        always(
            cargo("build", "--release", "-p", "fjord-broker"),
            ["cargo", "run", "--release", "--locked", "--", "--version"],
        ),
        groups=EVERY,
    ),
    Step("build-cli", always(cargo("build", "--release", "-p", "fjord-cli")), after=BUILD),
    Step("build-operator", always(cargo("build", "--release", "-p", "fjord-operator")), after=BUILD, groups=("long",)),
    Step("format", always(["cargo", "fmt", "--all", "--check"]), groups=CHECK),
    Step(
        "python",
        always(["ruff", "check", *PYTHON_CODE], ["ruff", "format", "--check", *PYTHON_CODE]),
        (install.python,),
        groups=CHECK,
    ),
    Step(
        "clippy",
        always([*cargo("clippy", "--workspace", "--all-targets"), "--", "-D", "warnings"]),
        uses="debug",
        groups=CHECK,
    ),
    Step("rust", always(cargo("test", "--workspace")), uses="debug", groups=EVERY),
    Step("sim", sim, after=BUILD),
    Step("clients", pytest("clients", quick=("-k", "confluent or kcat")), CLIENT_NEEDS, BUILD, groups=EVERY),
    Step("features", pytest("features"), PYTHON_NEEDS, BUILD, groups=EVERY),
    Step("grpc", pytest("grpc_api"), (install.python,), BUILD),
    Step("cli", pytest("cli"), (install.python,), (*BUILD, "build-cli")),
    Step("flights", pytest("flights"), PYTHON_NEEDS, BUILD),
    Step("cluster", pytest("cluster"), (install.python,), BUILD),
    Step("crash", with_mounts(pytest("crash")), (install.python, install.file_systems), BUILD),
    Step("faults", with_networks(pytest("faults")), (install.python, install.networks), BUILD),
    Step("chart", pytest(*CHART), (install.python, install.kube)),
    Step(
        "kube",
        pytest("kube"),
        (install.python, install.kube),
        (*BUILD, "build-cli", "build-operator"),
        groups=("long",),
    ),
    Step("hostile", pytest("hostile"), (install.python,), BUILD),
    Step("java", pytest("java"), (install.python, install.java), BUILD),
    Step(
        "benches",
        # Every cell of every suite for a moment.
        always([str(REPOSITORY / "benches" / "run"), "--check"]),
        (install.python, install.java, install.go_compiler),
        (*BUILD, "build-cli"),
    ),
    Step("rustdoc", always(cargo("doc", "--workspace", "--no-deps")), uses="debug", groups=CHECK, variables=RUSTDOC),
    Step("licences", always(["cargo-deny", "check", "licenses", "bans", "sources"]), (install.cargo_deny,), groups=CHECK),
    Step("fuzz", fuzz, (install.cxx, install.cargo_fuzz), uses="debug", variables=SANITIZER),
]

if PEER_IS_KAFKA:
    # It has no gRPC API, and is one broker here.
    STEPS = [step for step in STEPS if step.name not in ("grpc", "cli", "build-cli", "cluster", "faults", "kube", "benches")]
if PEER_IS_KAFKA or "FJORD_BROKER" in os.environ:
    # The broker is another one, so there is nothing to build.
    STEPS = [step for step in STEPS if step.name != "build"]
if "FJORD_CLI" in os.environ:
    STEPS = [step for step in STEPS if step.name != "build-cli"]


def chosen(names: list[str]) -> tuple[list[Step], str]:
    """The steps that arguments name, those that they come after included, and the form to run them in."""
    groups = {"quick", "normal", "long", "check"}
    form = next((name for name in names if name in ("quick", "long")), "normal")
    known = {step.name: step for step in STEPS}
    unknown = [name for name in names if name not in groups and name not in known]
    if unknown:
        raise SystemExit(f"unknown step {unknown[0]!r}; there are: {', '.join([*sorted(groups), *known])}")
    wanted = {step.name for step in STEPS if step.name in names or set(step.groups) & set(names)}
    wanted |= {before for name in wanted for before in known[name].after if before in known}
    return [step for step in STEPS if step.name in wanted], form


def log_path(step: Step) -> Path:
    """Where a step's output goes."""
    return CACHE / "logs" / f"{step.name}.log"
