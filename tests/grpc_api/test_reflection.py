"""What a client learns from the broker itself, as grpcurl does: its services, their messages, and its health."""

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from harness.protos import PACKAGE, descriptors

OWN = {f"{PACKAGE}.{name}Service" for name in ("Producer", "Fetch", "Consumer", "Group", "Topic", "Config", "Cluster")}
HEALTH = "grpc.health.v1.Health"
REFLECTION = "grpc.reflection.v1.ServerReflection"


@pytest.fixture
def database(api) -> ProtoReflectionDescriptorDatabase:
    return ProtoReflectionDescriptorDatabase(api.channel)


class Reflected:
    """Calls services of which it knows nothing but what the broker tells."""

    def __init__(self, channel: grpc.Channel, database: ProtoReflectionDescriptorDatabase):
        self.channel, self.pool = channel, DescriptorPool(database)

    def call(self, service: str, method: str, /, **request):
        """The answer to a unary call, as a dict."""
        found = self.pool.FindServiceByName(service).FindMethodByName(method)
        answer = self.channel.unary_unary(
            f"/{service}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=GetMessageClass(found.output_type).FromString,
        )(ParseDict(request, GetMessageClass(found.input_type)()))
        return MessageToDict(answer)


def test_all_services_are_listed(database):
    """The broker's own, health, and reflection itself."""
    found = set(database.get_services())
    assert found >= OWN | {HEALTH}
    # grpcio's own client still speaks the version before, so both are there.
    assert found - OWN - {HEALTH} <= {REFLECTION, "grpc.reflection.v1alpha.ServerReflection"}
    declared = {f"{file.package}.{service.name}" for file in descriptors().file for service in file.service}
    assert declared == OWN


def test_the_broker_tells_what_the_protos_say(database):
    """Every message and service is as in `proto/`."""
    pool = DescriptorPool(database)
    for file in descriptors().file:
        for message in file.message_type:
            found = pool.FindMessageTypeByName(f"{PACKAGE}.{message.name}")
            fields = [(field.name, field.number) for field in found.fields]
            assert fields == [(field.name, field.number) for field in message.field]
        for service in file.service:
            found = pool.FindServiceByName(f"{PACKAGE}.{service.name}")
            assert [method.name for method in found.methods] == [method.name for method in service.method]


def test_calls_by_reflection_alone(api, database, topic):
    """A topic is made, written to and described without any stub."""
    reflected = Reflected(api.channel, database)
    reflected.call(f"{PACKAGE}.TopicService", "CreateTopic", topic=topic, partitions=2)
    records = [{"key": "a2V5", "value": "dmFsdWU="}] * 3
    produced = reflected.call(f"{PACKAGE}.ProducerService", "Produce", topic=topic, partition=1, records=records)
    assert produced["partitions"] == [{"partition": 1, "recordCount": 3}], "the offset is 0, which JSON leaves out"
    described = reflected.call(f"{PACKAGE}.TopicService", "DescribeTopic", topic=topic)
    assert [int(part.get("highWatermark", 0)) for part in described["partitions"]] == [0, 3]
    assert api.read(topic, 2)[0].value == b"value"


def test_health(api, database):
    """The broker as a whole is serving; a service that it does not have is not found."""
    reflected = Reflected(api.channel, database)
    assert reflected.call(HEALTH, "Check") == {"status": "SERVING"}
    with pytest.raises(grpc.RpcError) as unknown:
        reflected.call(HEALTH, "Check", service="no.such.Service")
    assert unknown.value.code() == grpc.StatusCode.NOT_FOUND


def test_health_of_each_service(api, database):
    """By the health protocol each service has its own status too."""
    reflected = Reflected(api.channel, database)
    for service in OWN:
        assert reflected.call(HEALTH, "Check", service=service) == {"status": "SERVING"}, service
