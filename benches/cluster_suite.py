"""Three brokers: what users wait when one of them goes, and what replication costs; beside three of Apache Kafka."""

import cluster_cells as cells
import cluster_loads as loads
from cluster_cells import Session
from cluster_page import render
from clusters import FJORD3, KAFKA3, ClusterSide
from failover import KILL, PAUSE, STOP, Fault
from suite import Run, Suite

ROUNDS = {FJORD3: {KILL: 20, PAUSE: 3, STOP: 20}, KAFKA3: {KILL: 3, PAUSE: 3, STOP: 3}}
"""Of each fault; in each round another broker goes. A pause costs librdkafka a minute."""
CLIENTS = {FJORD3: (loads.LIBRDKAFKA, loads.GRPC), KAFKA3: (loads.LIBRDKAFKA,)}


def run(run: Run) -> None:
    # It is seen that all of this works; that Kafka does is seen in the other suite.
    sides = (FJORD3,) if run.options.is_check else (KAFKA3, FJORD3)
    for number, in_turn in run.rounds(sides):
        for side in in_turn:
            speed(run, side, number)
    for side in sides:
        faults(run, side)
    if run.wants(loads.MOVES) or run.wants(loads.REPLACE):
        growth(run)


def speed(run: Run, side: ClusterSide, number: int) -> None:
    """Throughput and latencies of one round."""
    names = (loads.PRODUCE, *map(loads.steady, loads.SHARES))
    if not any(map(run.wants, names)):
        return
    with side.fresh() as cluster:
        session = Session(run, side, cluster, number)
        cells.warm_up(session)
        if run.wants(loads.PRODUCE):
            cells.throughput(session)
        for share in loads.SHARES:
            if run.wants(loads.steady(share)):
                cells.steady(session, share)


def faults(run: Run, side: ClusterSide) -> None:
    """All rounds of all faults."""
    wanted = [
        (fault, client, rounds)
        for client in CLIENTS[side]
        for fault, rounds in ROUNDS[side].items()
        if run.wants(loads.failover(fault.name, client)) and not (run.options.is_check and _is_slow(fault, client))
    ]
    if not wanted:
        return
    with side.fresh() as cluster:
        session = Session(run, side, cluster, 0)
        cells.warm_up(session)
        for fault, client, rounds in wanted:
            for number in range(1 if run.options.is_check else rounds):
                cells.failover(session, fault, client, number)


def _is_slow(fault: Fault, client: str) -> bool:
    return (fault, client) == (PAUSE, loads.LIBRDKAFKA)


def growth(run: Run) -> None:
    """Many partitions, and a broker that is replaced."""
    is_check = run.options.is_check
    for number in range(run.options.rounds):
        with FJORD3.fresh() as cluster:
            session = Session(run, FJORD3, cluster, number)
            if run.wants(loads.REPLACE):
                cells.replace(session, 1 if is_check else loads.REPLACE_RECORDS)
            if run.wants(loads.MOVES):
                cells.moves(session, 2 if is_check else loads.MANY_TOPICS)


SUITE = Suite("cluster", run, render)
