"""Exit codes, and what is said when no broker answers."""

import os
import socket
import subprocess

import pytest

from cli.fjord import BINARY, CONNECT, FAILED, NOT_FOUND, OK, TIMED_OUT, USAGE, Fjord, environment
from harness.paths import free_port

COMMANDS = [
    ["topic", "list"],
    ["topic", "create", "t"],
    ["produce", "t", "x"],
    ["consume", "t", "--until-end"],
    ["consume", "t", "--group", "g", "--until-end"],
    ["group", "list"],
    ["group", "delete", "g"],
    ["config", "describe", "--all-brokers"],
    ["cluster", "describe"],
    ["bench", "produce", "--count", "1"],
    ["bench", "consume", "t"],
]


@pytest.fixture
def silent():
    """The address of somebody who takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_every_exit_code(fjord, topic, silent):
    """Each code of the manual, by something that ends so."""
    fjord.run("topic", "create", topic, code=OK)
    fjord.run("topic", "create", topic, code=FAILED)
    fjord.run("topic", "crate", topic, code=USAGE)
    Fjord(f"127.0.0.1:{free_port()}").run("topic", "list", code=CONNECT)
    fjord.run("topic", "describe", f"no-{topic}", code=NOT_FOUND)
    Fjord(silent).run("--timeout", "300ms", "topic", "list", code=TIMED_OUT)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_nobody_listens(command):
    """All addresses are named, with what happened at each, and what to do about it."""
    first, second = (f"127.0.0.1:{free_port()}" for _ in range(2))
    error = Fjord(f"{first},{second}").refused(*command, code=CONNECT)
    assert error["kind"] == "connect"
    assert [each["address"] for each in error["tried"]] == [first, second]
    assert all("refused" in each["cause"].lower() for each in error["tried"])
    assert f"tried {first} (" in error["message"] and second in error["message"]
    assert "--broker" in error["message"] and "FJORD_BROKER" in error["message"]


def test_a_name_that_does_not_resolve():
    """It is said which name."""
    # Longer than a part of a name may be, so that no name server is asked for it.
    name = "x" * 64 + ".invalid"
    error = Fjord(f"{name}:9192").refused("topic", "list", code=CONNECT)
    (tried,) = error["tried"]
    assert tried["address"] == f"{name}:9192" and tried["cause"]
    assert name in error["message"]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_port_of_another_protocol(broker, command):
    """At Kafka's port it is said at once, not after the timeout, that this may be the wrong one."""
    error = Fjord(broker.bootstrap).refused(*command, "--timeout", "10m", code=CONNECT)
    assert error["kind"] == "disconnected"
    assert broker.bootstrap in error["message"] and "fjord.grpc.listen" in error["message"]


def test_the_http_port(broker):
    """That of the health checks is none either."""
    error = Fjord(f"127.0.0.1:{broker.http_port}").refused("topic", "list", code=CONNECT)
    assert error["kind"] == "disconnected" and "fjord.grpc.listen" in error["message"]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_nobody_answers(silent, command):
    """It ends when the time is over, and says how long that was."""
    error = Fjord(silent).refused(*command, "--timeout", "300ms", code=TIMED_OUT)
    assert error["kind"] == "timeout"
    assert silent in error["message"] and "0.3 s" in error["message"]


def test_the_first_broker_that_answers_is_taken(broker, topic):
    """Those before it may be away."""
    fjord = Fjord(f"127.0.0.1:{free_port()},{broker.grpc}")
    assert fjord.json("topic", "create", topic)["created"] is True
    assert fjord.run("produce", topic, "x").text.startswith("1 record")
    assert fjord.run("consume", topic, "--until-end").text == "x\n"


def test_the_address_from_the_environment(broker):
    """FJORD_BROKER is the default; the option counts before it."""
    command = [str(BINARY), "cluster", "describe"]
    with_address = {**environment(), "FJORD_BROKER": broker.grpc}
    assert subprocess.run(command, env=with_address, capture_output=True).returncode == OK
    elsewhere = [*command, "--broker", f"127.0.0.1:{free_port()}"]
    assert subprocess.run(elsewhere, env=with_address, capture_output=True).returncode == CONNECT


NO_ADDRESSES = ["", ",", "localhost", "localhost:", ":9192", "a:0", "a:b", "a:99999", "http://a:1", "a b:1"]


@pytest.mark.parametrize("address", NO_ADDRESSES)
def test_what_is_no_address(address):
    """It is refused with an example of one that is."""
    error = Fjord(address).refused("topic", "list", code=USAGE)
    assert error["kind"] == "usage"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        *(([], b"Usage: fjord"), (["topic"], b"Usage: fjord topic"), (["nonsense"], b"'nonsense'")),
        *((["topic", "list", "--output", "xml"], b"'xml'"), (["--timeout", "5", "man", "x"], b"such as 10s")),
    ],
)
def test_wrong_arguments(arguments, named):
    """They are explained on standard error, and nothing is on standard output."""
    told = subprocess.run([str(BINARY), *arguments], env=environment(), capture_output=True)
    assert (told.returncode, told.stdout) == (USAGE, b"") and named in told.stderr


@pytest.mark.parametrize("form", [["--output", "json"], ["--output=json"], ["-o", "json"], ["-o=json"], ["-ojson"]])
def test_wrong_arguments_as_json(form):
    """However JSON was asked for, what is wrong is JSON too."""
    told = subprocess.run([str(BINARY), "topic", "crate", *form], env=environment(), capture_output=True, text=True)
    assert told.returncode == USAGE and told.stdout == ""
    assert told.stderr.startswith('{"error":{') and '"kind":"usage"' in told.stderr and "crate" in told.stderr


def test_arguments_that_are_no_text():
    """Bytes that are not UTF-8 are refused, without a panic."""
    told = subprocess.run([os.fsencode(BINARY), b"topic", b"create", b"\xff"], env=environment(), capture_output=True)
    assert told.returncode == USAGE and b"panicked" not in told.stderr
