"""The steady producer through gRPC: idempotent, by one broker, which passes on what others lead."""

import queue
import threading
import time
from dataclasses import dataclass, field

import grpc
from harness.cluster import Member
from harness.protos import pb

from steady_producers import TICK_S, SteadyProducer

RETRY_S = 0.02
DONE_S = 30


@dataclass
class _Batches:
    """What one partition's producer has: a batch under way at most, so that a repeated one is in its place."""

    next_sequence: int = 0
    under_way: list[int] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)


class GrpcProducer(SteadyProducer):
    """A stream of ProduceStream with a sequence for each partition. What was refused is sent again."""

    def __init__(self, broker: Member, topic: str, partitions: int, rate: float, size: int):
        super().__init__(partitions, rate, size)
        self.topic = topic
        self._channel = grpc.insecure_channel(broker.grpc)
        self._stub = pb.ProducerServiceStub(self._channel)
        self._identity = self._stub.InitProducer(pb.InitProducerRequest(), wait_for_ready=True)
        self._batches = [_Batches() for _ in range(partitions)]
        self._retries: queue.SimpleQueue[tuple[float, int]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._requests: queue.SimpleQueue = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def send(self, number: int, partition: int) -> None:
        with self._lock:
            batches = self._batches[partition]
            batches.waiting.append(number)
            if not batches.under_way:
                batches.under_way, batches.waiting = batches.waiting, []
                self._request(partition)

    def _request(self, partition: int) -> None:
        batches = self._batches[partition]
        sequence = pb.Sequence(
            producer_id=self._identity.producer_id,
            producer_epoch=self._identity.producer_epoch,
            first=batches.next_sequence,
        )
        records = [pb.Record(value=self.value)] * len(batches.under_way)
        request = pb.ProduceRequest(
            topic=self.topic, partition=partition, records=records, acks=pb.ACKS_ALL, sequence=sequence
        )
        self._requests.put(pb.ProduceStreamRequest(id=partition, request=request))

    def _read(self) -> None:
        try:
            for answer in self._stub.ProduceStream(iter(self._requests.get, None)):
                self._answered(answer.id, answer.HasField("error"))
        except grpc.RpcError as error:
            self.errors.append(f"the stream broke: {error.code()}: {error.details()}")

    def _answered(self, partition: int, refused: bool) -> None:
        if refused:
            self._retries.put((time.monotonic() + RETRY_S, partition))
            return
        with self._lock:
            batches = self._batches[partition]
            done, batches.under_way, batches.waiting = batches.under_way, batches.waiting, []
            batches.next_sequence += len(done)
            if batches.under_way:
                self._request(partition)
        for number in done:
            self.told(number, partition)

    def serve(self) -> None:
        end = time.monotonic() + TICK_S
        while (left := end - time.monotonic()) > 0:
            try:
                when, partition = self._retries.get(timeout=left)
            except queue.Empty:
                return
            time.sleep(max(0.0, when - time.monotonic()))
            with self._lock:
                self._request(partition)

    def finish(self) -> None:
        self._requests.put(None)
        self._reader.join(DONE_S)
        self._channel.close()
