"""Ten thousand malformed frames of every kind, while a good client produces."""

import os
import random
import socket
from collections import Counter

import pytest

from features.simple import wait_until
from harness.connection import Closed, Connection
from harness.messages import decode_response

from .frames import Hostile, hostile_frames, oversized
from .observe import ORDINARY, closed, closed_for_cause, settled_memory_mib, told_in_log

WARM_UP, FRAMES, FRAMES_LONG = 5_000, 10_000, 200_000
GROWTH_MIB = 64
ANSWER_S = 20
SILENCE_S = 0.2
MAY_BE_SILENT = ("Fetch", "JoinGroup", "SyncGroup", "Produce")
"""APIs whose mutated requests may ask for a long wait, or for no answer."""


@pytest.mark.timeout(3600)
def test_malformed_frames(attacked, good_client, request):
    """Each gets its documented error or a closed connection with a reason; nothing is lost, and nothing grows."""
    seed = int(os.environ.get("FJORD_TEST_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"FJORD_TEST_SEED={seed}")
    chance = random.Random(seed)
    attack(attacked, hostile_frames(chance, WARM_UP))
    before, seen = settled_memory_mib(attacked), closed(attacked)
    produced = sum(good_client.acknowledged)
    outcomes = attack(attacked, hostile_frames(chance, FRAMES_LONG if request.config.getoption("--long") else FRAMES))
    assert sum(good_client.acknowledged) > produced and not good_client.errors, good_client.errors[:3]
    peak, after = attacked.memory_mib(), settled_memory_mib(attacked)
    now = closed(attacked)
    reasons = {reason: int(count - seen.get(reason, 0)) for reason, count in now.items() if count != seen.get(reason, 0)}
    print(f"{sum(outcomes.values())} frames: {dict(outcomes)}; closed: {reasons}; "
          f"{before:.0f} MiB before, {peak:.0f} at the end, {after:.0f} when settled")  # fmt: skip
    assert "handler_panic" not in reasons, reasons
    told = sum(count for reason, count in reasons.items() if reason not in ORDINARY)
    assert told == outcomes["closed"], f"{outcomes['closed']} were closed, {told} with a reason: {reasons}"
    assert after < before + GROWTH_MIB, f"memory grew from {before:.0f} to {after:.0f} MiB"
    wait_until("the log tells why each was closed", lambda: all_is_told(attacked, chance))


def all_is_told(broker, chance: random.Random) -> bool:
    """Whether the log accounts for every connection; one more is closed, for a line may count those before it."""
    attack(broker, [oversized(chance)])
    return told_in_log(broker) == closed_for_cause(broker)


def attack(broker, frames) -> Counter:
    """Sends each on a connection that has not been closed yet; how many were answered, closed, or waited for."""
    outcomes: Counter = Counter()
    connection = None
    for number, hostile in enumerate(frames):
        connection = connection or Connection(broker.bootstrap, ANSWER_S)
        try:
            outcome = send(connection, hostile)
        except Exception as error:
            raise AssertionError(
                f"frame {number}, {hostile.kind} {hostile.request}: {error!r}\n{hostile.data[:400].hex()}"
            ) from error
        outcomes[outcome] += 1
        if outcome != "answered":
            connection.close()
            connection = None
    if connection is not None:
        connection.close()
    return outcomes


def send(connection: Connection, hostile: Hostile) -> str:
    """Sends one, and checks what comes of it."""
    try:
        connection.send(hostile.data)
        if hostile.then_end:
            connection.socket.shutdown(socket.SHUT_WR)
        return answer(connection, hostile)
    except Closed:
        assert not hostile.errors, f"closed, where an error out of {hostile.errors} was due"
        return "closed"


def answer(connection: Connection, hostile: Hostile) -> str:
    """Reads the answer, if there is one."""
    if hostile.request and hostile.request[0] in MAY_BE_SILENT and not hostile.errors:
        connection.socket.settimeout(SILENCE_S)
        try:
            frame = connection.receive_frame()
        except TimeoutError:
            return "waits"
        finally:
            connection.socket.settimeout(ANSWER_S)
    else:
        frame = connection.receive_frame()
    assert not hostile.closes, f"answered, where it should have been closed: {frame[:100].hex()}"
    if hostile.request:
        decoded = decode_response(*hostile.request, frame)[1]
        if hostile.errors:
            found = error_of(decoded)
            assert found in hostile.errors, f"answered with error {found}, not one of {hostile.errors}"
    return "answered"


def error_of(body: dict) -> int:
    """The error code of an ApiVersions or a Produce response for one partition."""
    return body["ErrorCode"] if "ErrorCode" in body else body["Responses"][0]["PartitionResponses"][0]["ErrorCode"]
