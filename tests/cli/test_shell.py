"""Help, completions for shells, and manual pages."""

import re
import shutil
import subprocess

import pytest

from cli.fjord import BINARY, FAILED, USAGE, Fjord, environment
from harness.paths import REPOSITORY

NOWHERE = Fjord("127.0.0.1:1")
"""Nothing here needs a broker."""

COMMANDS = [
    *["topic create", "topic list", "topic describe", "topic alter", "topic delete", "produce", "consume"],
    *["group list", "group describe", "group reset-offsets", "group delete", "config describe", "config alter"],
    *["cluster quorum", "cluster plan", "cluster drain", "cluster reassign", "cluster reassignments", "cluster elect"],
    *[
        "cluster add-voter",
        "cluster remove-voter",
        "cluster unregister",
        "cluster describe",
        "bench produce",
        "bench consume",
        "bench end-to-end",
        "dev",
        "completions",
        "man",
    ],
]
CHECKERS = {"bash": "bash", "zsh": "zsh", "fish": "fish"}


def completions(shell: str) -> bytes:
    return NOWHERE.run("completions", shell).stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "elvish", "powershell"])
def test_completions(shell, tmp_path):
    """They name all commands; a shell that is there can read them."""
    script = completions(shell)
    for word in {word for command in COMMANDS for word in command.split()}:
        assert word.encode() in script, word
    if shell in CHECKERS and shutil.which(CHECKERS[shell]):
        path = tmp_path / "fjord"
        path.write_bytes(script)
        checked = subprocess.run([CHECKERS[shell], "-n", path], capture_output=True)
        assert (checked.returncode, checked.stderr) == (0, b"")


def test_bash_completes(tmp_path):
    """What bash offers after a few words."""
    path = tmp_path / "fjord"
    path.write_bytes(completions("bash"))

    def offered(*words: str) -> set[str]:
        words_of_bash = 'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))'
        call = '_fjord "$1" "${@: -1}" "${@: -2:1}"; printf "%s\\n" "${COMPREPLY[@]}"'
        script = f'source "$1"; shift; {words_of_bash}; {call}'
        command = ["bash", "-c", script, "bash", str(path), *words]
        return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())

    assert {"topic", "produce", "consume", "group", "cluster", "config", "bench"} <= offered("fjord", "")
    assert {"describe", "delete"} <= offered("fjord", "topic", "de")
    assert offered("fjord", "group", "reset-offsets", "--exe") == {"--execute"}
    assert {"value", "key-value", "json"} <= offered("fjord", "consume", "--format", "")


def test_a_shell_that_is_none():
    assert "zsh" in NOWHERE.refused("completions", "cmd", code=USAGE)["message"]


def test_manual_pages(tmp_path):
    """One for each command, with what it is, how it is called and what its options are; groff takes them."""
    folder = tmp_path / "not there yet" / "man1"
    NOWHERE.run("man", folder)
    pages = {path.name: path.read_text() for path in folder.iterdir()}
    assert {f"fjord-{command.replace(' ', '-')}.1" for command in COMMANDS} <= set(pages)
    assert "fjord.1" in pages
    for name, page in pages.items():
        assert re.search(r"^\.TH ", page, re.MULTILINE), name
        for section in ("NAME", "SYNOPSIS", "DESCRIPTION"):
            assert re.search(rf'^\.SH "?{section}"?$', page, re.MULTILINE), f"{name} has no {section}"
    assert r"\-\-key\-separator" in pages["fjord-produce.1"]
    if shutil.which("groff"):
        for path in sorted(folder.iterdir()):
            formatted = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z", path], capture_output=True)
            assert (formatted.returncode, formatted.stderr) == (0, b""), path.name


def test_manual_pages_that_cannot_be_written(tmp_path):
    """It is said where."""
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    error = NOWHERE.refused("man", in_the_way / "man1", code=FAILED)
    assert error["kind"] == "io" and str(in_the_way) in error["message"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command):
    """Every command has one, with the options that go with all."""
    for option in ("--help", "-h"):
        text = NOWHERE.run(*command.split(), option).text
        assert f"Usage: fjord {command}" in text
        assert all(option in text for option in ("--broker", "--output", "--timeout"))


def test_the_help_names_all_exit_codes():
    """As the manual does."""
    manual = (REPOSITORY / "docs" / "cli.md").read_text()
    help_text = " ".join(NOWHERE.run("--help").text.split())
    for code in range(6):
        assert re.search(rf"^\| {code} \|", manual, re.MULTILINE)
        assert re.search(rf"[:;] {code} ", help_text)


def test_the_version():
    version = re.search(r'^version = "(.*)"', (REPOSITORY / "Cargo.toml").read_text(), re.MULTILINE)[1]
    assert NOWHERE.run("--version").text == f"fjord {version}\n"


@pytest.mark.parametrize("command", ["--help", "completions bash"])
def test_a_closed_pipe_is_no_failure(command):
    """Nobody reads what is printed, and nothing is said of that."""
    script = f'"{BINARY}" {command} | true; exit ${{PIPESTATUS[0]}}'
    ended = subprocess.run(["bash", "-c", script], capture_output=True, env=environment())
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_the_manuals_commands_are_there(tmp_path):
    """Every command line in the manual is one that the arguments' parser takes."""
    manual = (REPOSITORY / "docs" / "cli.md").read_text()
    lines = [line for block in re.findall(r"```sh\n(.*?)```", manual, re.DOTALL) for line in block.splitlines()]
    found = [part for line in lines for part in re.findall(r"(?:^|\| )(fjord [^|#<>]*)", line)]
    assert len(found) > 30
    for command in found:
        words = ["bash", "-c", f'fjord() {{ printf "%s\\0" "$@"; }}; {command}']
        arguments = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split("\0")[:-1]
        if arguments[0] in ("completions", "man"):
            continue
        # Nothing is to be started, and nobody is there.
        is_dev = arguments[0] == "dev"
        nowhere = ["--program", "/nowhere/fjord-broker"] if is_dev else ["--broker", "127.0.0.1:1"]
        told = subprocess.run([str(BINARY), *arguments, *nowhere], stdin=subprocess.DEVNULL, timeout=60,
                              capture_output=True, text=True, env=environment(), cwd=tmp_path)  # fmt: skip
        expected = "cannot start /nowhere" if is_dev else "cannot connect to a broker"
        assert expected in told.stderr, f"{command}: {told.stderr}"
