"""Who becomes leader after whom, step by step, and what that makes of the replicas."""

import pytest

from harness.batches import batch
from harness.cluster import wait_for

from . import shapes

TOPIC = "steps"
ACKS_LEADER = 1
KAFKA_ERRORS_NONE = 0


def produce(member, count: int) -> None:
    """Has a leader acknowledge some records as soon as it has them itself."""
    for number in range(count):
        partition = {"Index": 0, "Records": batch([b"%d" % number])}
        body = {"Acks": ACKS_LEADER, "TimeoutMs": 10_000, "TopicData": [{"Name": TOPIC, "PartitionData": [partition]}]}
        answer = member.ask("Produce", 9, body)["Responses"][0]["PartitionResponses"][0]
        assert answer["ErrorCode"] == KAFKA_ERRORS_NONE, answer


@pytest.mark.parametrize("quiet", [5], indirect=True)
def test_a_leader_that_was_given_no_records_follows_one_with_older_ones(quiet):
    """It noted an epoch that its new leader knows nothing of, at the place where that one has records of an older epoch."""
    cluster = quiet.cluster
    assignments = [{"PartitionIndex": 0, "BrokerIds": [1, 2, 3]}]
    quiet.create(TOPIC, {"NumPartitions": -1, "ReplicationFactor": -1, "Assignments": assignments}, 2)
    witness = cluster[4]

    def state(leader: int, in_sync: set[int] | None = None) -> None:
        """Waits until that is what the witness sees."""

        def check() -> bool:
            found = witness.topics().get(TOPIC, {}).get(0)
            assert found is not None and found.leader == leader and in_sync in (None, found.in_sync), found
            return True

        wait_for(f"broker {leader} leads, {in_sync} are in sync", check)

    state(1, {1, 2, 3})
    produce(cluster[1], 3)
    cluster[3].kill()
    state(1, {1, 2})
    # The first one has records that the second one does not have, and may still lead again: it is eligible.
    quiet.network.cut(shapes.from_brokers(1, quiet.ids))
    produce(cluster[1], 3)
    cluster[1].kill()
    state(2)
    quiet.network.heal()
    cluster[2].kill()
    cluster.start(1)
    state(1)
    cluster.start(2, 3)
    state(1, {1, 2, 3})
