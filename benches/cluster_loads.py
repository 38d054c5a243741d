"""What is done to three brokers in the suite `cluster`, and the names of its cells."""

from loads import USUAL

PARTITIONS = USUAL.partitions
SIZE = USUAL.size
RATE = 2000
"""Records a second while a broker goes: each partition has one every 50 ms, which is the least gap that can be seen."""
LIBRDKAFKA, GRPC = "librdkafka", "gRPC"
PRODUCE = f"produce, {USUAL}"
SHARES = (0.1, 0.5)
"""Of what Kafka reaches in the same run."""
MANY_TOPICS = 100
MANY = MANY_TOPICS * PARTITIONS
MOVES = f"one of three brokers with {MANY:,} partitions is killed"
REPLACE = "a broker comes back with an empty disk"
REPLACE_RECORDS = 200_000


def failover(fault: str, client: str) -> str:
    return f"{fault}, {client}"


def steady(share: float) -> str:
    return f"steady at {share:.0%}, {USUAL}"
