"""What `/metrics` tells of gRPC calls."""

import time
import urllib.request

import grpc
import pytest

from grpc_api.api import TIMEOUT_S
from grpc_api.member import Member
from harness.broker import new_broker
from harness.protos import pb

CONSUME = '{service="fjord.v1.ConsumerService",method="Consume"}'


@pytest.fixture
def alone(tmp_path_factory):
    """A broker that only this test calls."""
    with new_broker(tmp_path_factory.mktemp("metrics")) as broker:
        yield broker


def figures(broker) -> dict[str, float]:
    """The value of each series."""
    with urllib.request.urlopen(f"{broker.http}/metrics", timeout=TIMEOUT_S) as answer:
        lines = answer.read().decode().splitlines()
    return {series: float(value) for series, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}


def wait_for(broker, **wanted: float) -> dict[str, float]:
    """Waits until series that begin with `fjord_grpc_` have these values."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        found = figures(broker)
        values = {series: found.get(f"fjord_grpc_{series}") for series in wanted}
        if values == wanted:
            return found
        assert time.monotonic() < deadline, f"{values} instead of {wanted}"
        time.sleep(0.05)


def test_calls_streams_and_members(alone):
    """Calls are counted by method and code when they have ended, streams and members while they are there."""
    member = Member(alone, "readers", "topic").joined()
    found = wait_for(alone, **{f"streams{CONSUME}": 1, "group_members": 1})
    assert not any(series.startswith("fjord_grpc_requests_total") and "Consume" in series for series in found)
    member.api.create("topic")
    member.api.create("other")
    with pytest.raises(grpc.RpcError):
        member.api.create("topic")
    with pytest.raises(grpc.RpcError):
        member.api.channel.unary_unary("/no.such.Service/Method")(b"")
    member.leave()
    create = 'service="fjord.v1.TopicService",method="CreateTopic"'
    wanted = {
        f"streams{CONSUME}": 0,
        "group_members": 0,
        f'requests_total{CONSUME[:-1]},code="OK"}}': 1,
        f'requests_total{{{create},code="OK"}}': 2,
        f'requests_total{{{create},code="ALREADY_EXISTS"}}': 1,
        'requests_total{service="_unknown",method="_unknown",code="UNIMPLEMENTED"}': 1,
        f"request_duration_seconds_count{{{create}}}": 3,
        f"streams{{{create}}}": 0,
    }
    found = wait_for(alone, **wanted)
    assert 0 < found[f"fjord_grpc_request_duration_seconds_sum{{{create}}}"] < TIMEOUT_S


def test_a_call_that_its_client_leaves(alone):
    """It is counted as cancelled."""
    member = Member(alone, "readers", "topic").joined()
    member.vanish()
    wait_for(alone, **{f'requests_total{CONSUME[:-1]},code="CANCELLED"}}': 1, "group_members": 0})


def test_the_broker_ends_a_stream_with_an_error(alone):
    """Its code is counted."""
    member = Member(alone, "readers", "topic").joined()
    member.send(seek=pb.Seek())
    assert member.end().code() == grpc.StatusCode.INVALID_ARGUMENT
    wait_for(alone, **{f'requests_total{CONSUME[:-1]},code="INVALID_ARGUMENT"}}': 1})
