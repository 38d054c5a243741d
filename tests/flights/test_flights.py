"""The README's example, run as it stands there, against a broker of the tests."""

import re
import subprocess

from harness.paths import TESTS

ROWS = 336_776


def test_every_flight_arrives_in_order(broker, topic):
    """All rows arrive through a group of three, in order per tail number, and once more through gRPC."""
    grpc = getattr(broker, "grpc", "none")
    command = [TESTS / "flights/run", broker.bootstrap, grpc, topic]
    run = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert run.returncode == 0, f"{run.stdout}\n{run.stderr}"
    found = re.findall(r"^(\d+) rows arrived", run.stdout, re.MULTILINE)
    assert [int(count) for count in found] == [ROWS] * (1 if grpc == "none" else 2), run.stdout
