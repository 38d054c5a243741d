"""The gRPC API as a stock client sees it: grpcio, and stubs generated from `proto/`."""

import json
from collections.abc import Callable, Iterable, Iterator

import grpc
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status

from harness.protos import pb
from harness.records import Record

TIMEOUT_S = 60
DOMAIN = "fjord.dev"
# Every call waits for a broker that is starting, but no call waits for ever.
_SERVICE_CONFIG = {"methodConfig": [{"name": [{}], "timeout": f"{TIMEOUT_S}s", "waitForReady": True}]}
_OPTIONS = [
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.max_send_message_length", 64 << 20),
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    # A connection of its own, which ends when the channel is closed.
    ("grpc.use_local_subchannel_pool", 1),
]


class Api:
    """One connection to a broker, with a stub for each service."""

    def __init__(self, broker, options: Iterable[tuple[str, object]] = ()):
        self.channel = grpc.insecure_channel(broker.grpc, options=[*_OPTIONS, *options])
        self.producer = pb.ProducerServiceStub(self.channel)
        self.fetcher = pb.FetchServiceStub(self.channel)
        self.consumer = pb.ConsumerServiceStub(self.channel)
        self.groups = pb.GroupServiceStub(self.channel)
        self.topics = pb.TopicServiceStub(self.channel)
        self.configs = pb.ConfigServiceStub(self.channel)
        self.cluster = pb.ClusterServiceStub(self.channel)

    def __enter__(self) -> "Api":
        return self

    def __exit__(self, *_) -> None:
        self.channel.close()

    def create(self, topic: str, partitions: int = 1, **configs: str):
        """Creates a topic; config names are written with _ for the dots."""
        dotted = {name.replace("_", "."): value for name, value in configs.items()}
        request = pb.CreateTopicRequest(topic=topic, partitions=partitions, configs=dotted)
        return self.topics.CreateTopic(request).topic

    def produce(self, topic: str, records: Iterable, partition: int | None = None, **fields):
        """Produces records, or values of them, and returns the response."""
        messages = [pb.Record(value=record) if isinstance(record, bytes) else record for record in records]
        return self.producer.Produce(pb.ProduceRequest(topic=topic, partition=partition, records=messages, **fields))

    def fetch(self, *partitions, **fields) -> Iterator:
        """The stream of responses to a fetch of `pb.FetchPartition`s."""
        return self.fetcher.Fetch(pb.FetchRequest(partitions=partitions, **fields))

    def read(self, topic: str, partitions: int = 1, **fields) -> list[Record]:
        """All records of the partitions from 0 on, to where they end now."""
        asked = [pb.FetchPartition(topic=topic, partition=partition) for partition in range(partitions)]
        return records_of(self.fetch(*asked, until_end=True, **fields))

    def ends(self, topic: str) -> dict[int, int]:
        """The offset behind the last record of each partition."""
        found = self.topics.ListOffsets(pb.ListOffsetsRequest(topic=topic)).offsets
        return {each.partition: each.offset for each in found}


def to_proto(record: Record):
    """A record as it is produced."""
    headers = [pb.Header(key=name, value=value) for name, value in record.headers]
    return pb.Record(key=record.key, value=record.value, headers=headers, timestamp_ms=record.timestamp)


def of_proto(partition: int, record) -> Record:
    """A record that was read; what is absent is None."""
    field = lambda message, name: getattr(message, name) if message.HasField(name) else None  # noqa: E731
    headers = tuple((header.key, field(header, "value")) for header in record.headers)
    key, value = field(record, "key"), field(record, "value")
    return Record(partition, key, value, headers, record.timestamp_ms, record.offset)


def records_of(responses: Iterable) -> list[Record]:
    """The records of fetch responses, none of which may tell of an error."""
    found = []
    for response in responses:
        for part in response.partitions:
            assert not part.HasField("error"), part.error
            found += [of_proto(part.partition, record) for record in part.records]
    return found


def of_kafka(message) -> Record:
    """A message of confluent-kafka as a record."""
    headers = tuple((name, value) for name, value in message.headers() or ())
    return Record(message.partition(), message.key(), message.value(), headers, message.timestamp()[1], message.offset())


def refusal(call: Callable[[], object]) -> tuple[grpc.StatusCode, str]:
    """The status code and the reason with which a call fails; it must fail as the API promises.

    That is with a sentence for people, and with an ErrorInfo for programs.
    """
    try:
        result = call()
        if isinstance(result, Iterator):
            result = list(result)
    except grpc.RpcError as error:
        return explained(error)
    raise AssertionError(f"it did not fail, but gave {result}")


def explained(error: grpc.RpcError) -> tuple[grpc.StatusCode, str]:
    """The status code and the reason of a failed call; see `refusal`."""
    check_sentence(error.details())
    status = rpc_status.from_call(error)
    assert status is not None, f"{error.code()} ({error.details()}) has no details"
    infos = [detail for detail in status.details if detail.Is(ErrorInfo.DESCRIPTOR)]
    assert len(infos) == 1, f"{error.details()} has {len(infos)} ErrorInfos"
    info = ErrorInfo()
    infos[0].Unpack(info)
    assert info.domain == DOMAIN
    assert info.metadata["retriable"] in ("true", "false")
    return error.code(), info.reason


def check_sentence(text: str) -> None:
    """What an error says to people is more than a name."""
    assert len(text.split()) >= 3, f"{text!r} is not a sentence"
