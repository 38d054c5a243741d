"""What is produced and consumed in the suite `kafka`, and the names of its cells."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Load:
    """Records of one size, in a topic of so many partitions, and how they are produced."""

    size: int
    """Bytes of a value; keys are null."""
    partitions: int
    acks: str = "all"
    codec: str = "none"

    def __str__(self) -> str:
        size = f"{self.size} B" if self.size < 1024 else f"{self.size // 1024} KiB"
        others = [f"acks={self.acks}"] * (self.acks != "all") + [self.codec] * (self.codec != "none")
        return ", ".join([size, count(self.partitions, "partition"), *others])

    @property
    def settings(self) -> list[str]:
        """The producer's, by librdkafka's names. Idempotence, as Kafka's own producers have it, needs acks of all."""
        idempotence = "true" if self.acks == "all" else "false"
        return [
            f"acks={self.acks}", f"compression.codec={self.codec}", f"enable.idempotence={idempotence}", "linger.ms=5",
            # What a slow server has to drain when time is up is bounded.
            "queue.buffering.max.kbytes=131072",
        ]  # fmt: skip


def count(number: int, what: str) -> str:
    """`1 partition`, `100 partitions`."""
    return f"{number} {what if number == 1 else what + 's'}"


SIZES = (100, 1024, 65_536)
COUNTS = (1, 100, 1000)
"""Of partitions, and of connections."""
USUAL = Load(1024, 100)
OTHERS = (replace(USUAL, acks="1"), replace(USUAL, codec="lz4"))
"""As the usual one, but for one thing."""
STEADY = (Load(1024, 1), USUAL)
SHARES = (0.1, 0.5, 0.9)
"""Of what Kafka reaches with the same load in the same run."""
COLD_SHARE = 0.1
CONNECTIONS_SHARE = 0.02
"""One connection of these, which waits for few batches at once, does not get to a tenth with Kafka."""


def produce(load: Load) -> str:
    return f"produce, {load}"


def consume(load: Load) -> str:
    return f"consume, {load}"


def java(what: str, load: Load) -> str:
    return f"Java client: {what}, {load}"


def steady(load: Load, share: float) -> str:
    return f"steady at {share:.0%}, {load}"


def memory(partitions: int) -> str:
    return f"memory, {count(partitions, 'partition')}"


def connections(number: int, share: float | None = None) -> str:
    speed = f"steady at {share:.0%}" if share else "as fast as they can"
    return f"{count(number, 'connection')}, {speed}"


def cold(with_reader: bool) -> str:
    return f"cold data, steady at {COLD_SHARE:.0%}, {'with' if with_reader else 'without'} a reader"


RESTART = "first acknowledged record after"
ENDS = ("a stop", "SIGKILL")


def restart(end: str) -> str:
    return f"{RESTART} {end}"
