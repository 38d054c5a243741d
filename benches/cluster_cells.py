"""What is measured of three brokers in the suite `cluster`. Each function measures one cell."""

import time
from dataclasses import dataclass

from confluent_kafka import Producer
from harness.cluster import Cluster, Member, wait_for

import cluster_loads as loads
from clusters import KAFKA3, SYSLOG_CRITICAL, WAIT_S, ClusterSide, balance, create_topics, empty_disk, wait_in_sync
from drivers import Steady
from failover import Fault, hit
from grpc_producer import GrpcProducer
from loads import USUAL
from samples import Sample
from servers import LIBRDKAFKA
from steady_producers import LibrdkafkaProducer, SteadyProducer
from suite import Run
from usage import GIB, usage

WATCH_S = {False: 4.0, True: 1.0}
"""For how long it is watched at least what a fault does; and so if it is only seen that everything works."""
CHECK_PEAK = 5
"""MB/s that stand for Kafka's peak where it is only seen that everything works."""
TOPIC = "bench"


@dataclass(frozen=True)
class Session:
    """Three brokers from their start to their end, in one round."""

    run: Run
    side: ClusterSide
    cluster: Cluster
    number: int

    def topic(self, name: str) -> str:
        """A new topic, led by its first replicas."""
        create_topics(self.cluster, [name], loads.PARTITIONS)
        balance(self.cluster)
        return name

    def add(self, cell: str, values: dict[str, float], number: int | None = None) -> None:
        self.run.add(Sample(cell, self.side.name, self.number if number is None else number, values))


def warm_up(session: Session) -> None:
    """Makes the topic that faults use, and produces for a while."""
    seconds = session.run.options.warm_up_s * session.side.warm_up
    LIBRDKAFKA.produce(session.cluster, session.topic(TOPIC), USUAL, seconds)


def failover(session: Session, fault: Fault, client: str, number: int) -> None:
    """Has one broker after the other go, under load."""
    members = list(session.cluster.members.values())
    victim, neighbour = members[number % len(members)], members[(number + 1) % len(members)]
    with _producer(session.cluster, client, neighbour) as producer:
        values = hit(session.cluster, fault, victim, producer, WATCH_S[session.run.options.is_check])
    session.add(loads.failover(fault.name, client), values, number)


def _producer(cluster: Cluster, client: str, broker: Member) -> SteadyProducer:
    what = (TOPIC, loads.PARTITIONS, loads.RATE, loads.SIZE)
    return LibrdkafkaProducer(cluster.bootstrap, *what) if client == loads.LIBRDKAFKA else GrpcProducer(broker, *what)


def throughput(session: Session) -> None:
    """Produces as fast as one client can."""
    topic, seconds = session.topic("fast"), session.run.options.seconds
    _measure(session, loads.PRODUCE, lambda: LIBRDKAFKA.produce(session.cluster, topic, USUAL, seconds))


def steady(session: Session, share: float) -> None:
    """Latencies at a share of what Kafka reached first."""
    options, samples = session.run.options, session.run.samples
    peak = CHECK_PEAK if options.is_check else samples.first(loads.PRODUCE, KAFKA3.name, "MB/s")
    if peak is None:
        raise SystemExit(f"rates are shares of what Kafka produces: measure '{loads.PRODUCE}' as well")
    topic = session.topic(f"steady-{share:.0%}".rstrip("%"))
    asked = Steady(topic, USUAL, options.seconds, options.settle_s, share * peak * 1e6 / loads.SIZE)
    _measure(session, loads.steady(share), lambda: LIBRDKAFKA.steady(session.cluster, asked))


def _measure(session: Session, cell: str, client) -> None:
    """Has a client work, and adds what it reports and what all three brokers used."""
    time.sleep(session.run.options.settle_s)
    before = [usage(member.pid) for member in session.cluster.running]
    values = client()
    used = sum(
        usage(member.pid).cpu_s - earlier.cpu_s for member, earlier in zip(session.cluster.running, before, strict=True)
    )
    values["CPU s/GiB"] = used / (values.pop("MB") * 1e6 / GIB)
    values["RSS MiB"] = sum(member.memory_mib() for member in session.cluster.running)
    values.pop("records", None)
    session.add(cell, values)


def moves(session: Session, topics: int) -> None:
    """Kills one of three brokers that lead many partitions."""
    cluster, names = session.cluster, [f"many-{number}" for number in range(topics)]
    created = time.monotonic()
    create_topics(cluster, names, loads.PARTITIONS)
    balance(cluster)
    created = time.monotonic() - created
    client = Producer({"bootstrap.servers": cluster.bootstrap, "log_level": SYSLOG_CRITICAL})
    _produce_to_each(client, names)
    victim, *others = cluster.members.values()
    led, all_led = victim.metric("fjord_partitions_led"), _led(cluster.running)
    begun = time.monotonic()
    victim.kill()
    wait_for("the others lead all partitions", lambda: _led(others) == all_led, WAIT_S)
    moved = time.monotonic() - begun
    _produce_to_each(client, names)
    usable = time.monotonic() - begun
    cluster.start(victim.id)
    wait_in_sync(cluster)
    values = {"leaderships": led, "moved after s": moved, "all written to after s": usable, "created after s": created}
    session.add(loads.MOVES, values)


def _led(members: list[Member]) -> float:
    return sum(member.metric("fjord_partitions_led") for member in members)


def _produce_to_each(client: Producer, names: list[str]) -> None:
    """Has one record acknowledged by each partition."""
    failed = []
    told = lambda error, _: failed.append(error) if error else None  # noqa: E731
    for name in names:
        for partition in range(loads.PARTITIONS):
            client.produce(name, b"one", partition=partition, on_delivery=told)
    if client.flush(WAIT_S) > 0 or failed:
        raise RuntimeError(f"not every partition took a record: {failed[:3]}")


def replace(session: Session, records: int) -> None:
    """Takes a broker away with all that it has, and waits until an empty one in its place has everything again.

    That nothing is lost is seen by reading all of it when the empty one leads its share again.
    """
    cluster, topic = session.cluster, session.topic("replaced")
    produced = 0
    while produced < records:
        # It sends one more, which it does not count.
        produced += int(LIBRDKAFKA.produce(cluster, topic, USUAL, session.run.options.seconds)["records"]) + 1
    victim = cluster[3]
    victim.kill()
    empty_disk(victim)
    begun = time.monotonic()
    cluster.start(victim.id)
    wait_in_sync(cluster)
    values = {"MB per broker": produced * loads.SIZE / 1e6, "in sync after s": time.monotonic() - begun}
    balance(cluster)
    found = LIBRDKAFKA.ask_consume(cluster, topic, USUAL, produced, WAIT_S)["records"]
    session.add(loads.REPLACE, {**values, "records lost": produced - found})
