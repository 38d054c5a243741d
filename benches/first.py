"""When a server acknowledges its first record: tried every few milliseconds, with no client's pauses in between."""

import time

from harness.batches import batch
from harness.connection import Closed, Connection

PAUSE_S = 0.005
ANSWER_S = 1.0
PRODUCE_VERSION = 9


def wait_for_acknowledgement(bootstrap: str, topic: str, partition: int = 0, give_up_s: float = 120) -> float:
    """The time (`time.monotonic`) at which a record for this partition was acknowledged."""
    give_up = time.monotonic() + give_up_s
    while time.monotonic() < give_up:
        if acknowledged(bootstrap, topic, partition):
            return time.monotonic()
        time.sleep(PAUSE_S)
    raise TimeoutError(f"{bootstrap} acknowledged no record within {give_up_s} s")


def acknowledged(bootstrap: str, topic: str, partition: int) -> bool:
    """Whether the server takes one record now."""
    data = {"Index": partition, "Records": batch([b"first"])}
    topics = [{"Name": topic, "PartitionData": [data]}]
    body = {"TransactionalId": None, "Acks": -1, "TimeoutMs": 1000, "TopicData": topics}
    try:
        with Connection(bootstrap, ANSWER_S) as connection:
            answer = connection.ask("Produce", PRODUCE_VERSION, body)
    except (Closed, OSError):
        # Nobody is there yet, or it is not ready to answer.
        return False
    return answer["Responses"][0]["PartitionResponses"][0]["ErrorCode"] == 0
