"""An idempotent producer over gRPC: a stream for each partition, to whoever leads it."""

import itertools
import queue
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

import grpc

from harness.load.history import Writer
from harness.protos import pb

if TYPE_CHECKING:
    from harness.load.client import Arguments

IN_FLIGHT = 5
"""Batches under way, of which a broker remembers that many."""
BATCH = 3
PAUSE_S, RETRY_S = 0.03, 0.1
STREAM_S, CALL_S = 4.0, 2.0
"""How long a stream lives, so that silence ends it, and how long other calls may take."""
FINISH_S = 60
_OPTIONS = [
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.keepalive_time_ms", 1000),
    ("grpc.keepalive_timeout_ms", 1000),
]


class Lane(threading.Thread):
    """Produces to one partition, whose records have one key, and sends each batch again until it is acknowledged."""

    def __init__(self, told: "Arguments", place: tuple[str, int], history: Writer, halt: threading.Event):
        super().__init__()
        self.topic, self.partition = place
        self.key = f"{told.client}-{self.partition}"
        self.history, self.halt = history, halt
        self.channels = {int(broker): grpc.insecure_channel(address, _OPTIONS) for broker, address in told.grpc.items()}
        self.asked = itertools.cycle(self.channels)
        self.waiting: deque[int] = deque()
        """The first number of each batch that is sent and not acknowledged."""
        self.number = 0
        self.leader_epoch = -1
        """The newest that was heard of."""
        self.given_up = False

    def run(self) -> None:
        identity, end = None, None
        while not self.given_up and (not self.halt.is_set() or self.waiting):
            if self.halt.is_set():
                end = end or time.monotonic() + FINISH_S
                if time.monotonic() > end:
                    self.give_up(f"not acknowledged within {FINISH_S} s")
            try:
                identity = identity or self.identity()
                leader = self.leader()
                if leader in self.channels:
                    self.stream(self.channels[leader], identity)
            except grpc.RpcError:
                # The broker is gone, or cut off, or the time of the stream is over.
                pass
            time.sleep(RETRY_S)
        for channel in self.channels.values():
            channel.close()

    def identity(self) -> tuple[int, int]:
        """A producer id and its epoch."""
        producers = pb.ProducerServiceStub(self.channels[next(self.asked)])
        given = producers.InitProducer(pb.InitProducerRequest(), timeout=CALL_S)
        return given.producer_id, given.producer_epoch

    def leader(self) -> int:
        """Who leads, as one broker after the other is asked; -1 if that is not known, or the broker knows less than another.

        A leader that is cut off takes itself for the leader still, and for it the newest records are out of order (KIP-320).
        """
        topics = pb.TopicServiceStub(self.channels[next(self.asked)])
        told = topics.DescribeTopic(pb.DescribeTopicRequest(topic=self.topic), timeout=CALL_S)
        found = told.partitions[self.partition]
        if found.leader_epoch < self.leader_epoch:
            return -1
        self.leader_epoch = found.leader_epoch
        return found.leader

    def stream(self, channel: grpc.Channel, identity: tuple[int, int]) -> None:
        """Sends what waits and then new batches, until the end or the first refusal."""
        requests: queue.SimpleQueue = queue.SimpleQueue()
        for first in self.waiting:
            requests.put(self.request(first, identity))
        answers = pb.ProducerServiceStub(channel).ProduceStream(iter(requests.get, None), timeout=STREAM_S)
        try:
            while self.waiting or not self.halt.is_set():
                while len(self.waiting) < IN_FLIGHT and not self.halt.is_set():
                    requests.put(self.request(self.batch(), identity))
                if not self.take(next(answers)):
                    return
                time.sleep(PAUSE_S)
        finally:
            requests.put(None)
            answers.cancel()

    def batch(self) -> int:
        """Takes note of the next batch, and returns its first number."""
        first = self.number
        for record in self.records(first):
            self.history.write("sent", record=record, topic=self.topic)
        self.waiting.append(first)
        self.number += BATCH
        return first

    def records(self, first: int) -> Iterator[str]:
        """The records of a batch."""
        return (f"{self.key}:{first + place}" for place in range(BATCH))

    def request(self, first: int, identity: tuple[int, int]):
        """A batch as it is sent."""
        records = [pb.Record(key=self.key.encode(), value=record.encode()) for record in self.records(first)]
        sequence = pb.Sequence(producer_id=identity[0], producer_epoch=identity[1], first=first)
        request = pb.ProduceRequest(
            topic=self.topic, partition=self.partition, records=records, acks=pb.ACKS_ALL, sequence=sequence
        )
        return pb.ProduceStreamRequest(id=first, request=request)

    def take(self, answer) -> bool:
        """Takes note of an answer, which is that to the oldest batch; whether the stream is to go on."""
        first = self.waiting[0]
        if answer.id != first:
            self.give_up(f"the answer to {answer.id} came where that to {first} was due")
            return False
        refused = answer.error if answer.HasField("error") else answer.response.partitions[0].error
        if refused.reason:
            if not refused.retriable:
                self.give_up(f"{refused.reason}: {refused.message}")
            return False
        offset = answer.response.partitions[0].base_offset
        for place, record in enumerate(self.records(first)):
            told = {"topic": self.topic, "partition": self.partition, "offset": offset + place}
            self.history.write("acknowledged", record=record, **told)
        self.waiting.popleft()
        return True

    def give_up(self, error: str) -> None:
        """Ends with what cannot be."""
        self.given_up = True
        for record in self.records(self.waiting[0]):
            self.history.write("failed", record=record, topic=self.topic, error=error)


def stream(told: "Arguments", history: Writer, halt: threading.Event) -> None:
    """Produces to all partitions until it is told to stop."""
    places = [(topic, partition) for topic, count in told.topics.items() for partition in range(count)]
    lanes = [Lane(told, place, history, halt) for place in places]
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join()
