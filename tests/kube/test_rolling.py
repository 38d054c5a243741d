"""Changes of running brokers: one after the other, under load, with nothing lost and nobody turned away."""

import pytest

from harness.cluster import Pending, wait_for

from .brokers import SAFE, Brokers

LOAD = {"orders": 6}


@pytest.fixture
def demo(brokers) -> Brokers:
    """Three brokers with a topic."""
    made = brokers()
    made.wait_settled()
    made.topic("orders", partitions=6)
    made.wait_topic("orders")
    return made


def images(demo: Brokers) -> set[str]:
    """What the brokers run."""
    pods = demo.kubectl.list("pods", demo.labels)
    return {each["spec"]["containers"][0]["image"] for each in pods}


def faultless(verdict: dict) -> None:
    """Nothing was lost, doubled or refused."""
    assert verdict["wrong"] == {}, verdict
    assert verdict["failed"] == 0, verdict


def test_another_image(kube, demo, load, figures):
    """One broker at a time, while clients go on."""
    pods = demo.pods()
    under = load("load", demo.bootstrap, LOAD)
    under.wait_acknowledged(1000)
    with figures.seconds("rolling restart of three brokers"):
        demo.apply(image=kube.images.next)
        demo.wait_condition("Progressing", "True")
        demo.wait_settled()
    assert not set(pods.values()) & set(demo.pods().values())
    assert images(demo) == {kube.images.next}
    under.wait_acknowledged(1000)
    verdict = under.finish()
    faultless(verdict)
    figures.tell("under it", **{name: verdict[name] for name in ("p50_ms", "p99_ms", "p99_9_ms", "max_ms", "acknowledged")})
    told = demo.events("BrokerRestart")
    assert len(told) == 3, told
    assert all(kube.images.next in each for each in told)


def test_configs_that_brokers_take_while_they_run(demo):
    pods = demo.pods()
    demo.apply(config={**SAFE, "log.retention.ms": "86400000"})

    def taken() -> bool:
        configs = demo.json("config", "describe", "--broker-id", "1")
        values = {each["name"]: each["value"] for each in configs}
        if values.get("log.retention.ms") != "86400000":
            raise Pending(f"log.retention.ms is {values.get('log.retention.ms')}")
        return True

    wait_for("the brokers take the config", taken)
    demo.wait_settled()
    assert demo.pods() == pods


def test_configs_that_take_a_restart(demo, load):
    pods = demo.pods()
    under = load("load", demo.bootstrap, LOAD)
    under.wait_acknowledged(500)
    demo.apply(config={**SAFE, "num.network.threads": "2"})
    demo.wait_condition("Progressing", "True")
    demo.wait_settled()
    assert not set(pods.values()) & set(demo.pods().values())
    faultless(under.finish())
    assert any("num.network.threads" in each for each in demo.events("BrokerRestart"))


@pytest.mark.parametrize(
    "config",
    [{"no.such.config": "1"}, {"log.retention.ms": "soon"}, {"num.network.threads": "-7"}],
    ids=lambda config: next(iter(config)),
)
def test_configs_that_are_no_good_change_nothing(demo, config):
    pods = demo.pods()
    demo.apply(config={**SAFE, **config})
    told = demo.wait_condition("ConfigInvalid")
    assert next(iter(config)) in told["message"]
    assert demo.pods() == pods
    demo.apply(config=SAFE)
    demo.wait_settled()
    assert demo.pods() == pods


def test_an_image_that_is_not_there_stops_at_the_first_broker(kube, demo, load):
    """And another one, which is there, goes on from it."""
    pods = demo.pods()
    under = load("load", demo.bootstrap, LOAD)
    under.wait_acknowledged(500)
    demo.apply(image=kube.images.fjord + "-nowhere")

    def failing() -> bool:
        told = demo.wait_condition("Ready", "False")["message"]
        if "image" not in told.lower():
            raise Pending(told)
        return True

    wait_for("a broker cannot start", failing, 90)
    assert len(set(pods.values()) & set(demo.pods().values())) == 2
    demo.apply(image=kube.images.next)
    demo.wait_settled()
    assert images(demo) == {kube.images.next}
    faultless(under.finish())


def test_a_restart_waits_for_an_approval(kube, demo):
    pods = demo.pods()
    demo.apply(image=kube.images.next, rolling={"approval": "Manual"})

    def planned() -> dict:
        if not (plan := demo.status().get("plan")):
            raise Pending("there is no plan")
        return plan

    plan = wait_for("a plan", planned)
    assert plan["kind"] == "Restart"
    assert plan["approved"] is False
    assert len(plan["steps"]) == 3
    assert kube.images.next in plan["steps"][0]
    demo.apply(approve="something-else")
    demo.kubectl.wait("clusters.fjord.dev", "demo", "it was looked at", observed)
    assert demo.pods() == pods
    demo.apply(approve=plan["hash"])
    demo.wait_settled()
    assert images(demo) == {kube.images.next}


def test_a_plan_only_says_what_would_be(kube, demo):
    pods = demo.pods()
    demo.apply(image=kube.images.next, planOnly=True)
    found = demo.kubectl.wait("clusters.fjord.dev", "demo", "there is a plan", lambda found: found["status"].get("plan"))
    assert found["status"]["plan"]["approved"] is False
    assert demo.pods() == pods
    demo.apply(planOnly=False)
    demo.wait_settled()
    assert images(demo) == {kube.images.next}


def test_a_paused_cluster_is_left_alone(kube, demo):
    pods = demo.pods()
    demo.apply(paused=True, image=kube.images.next)
    demo.wait_condition("ReconciliationPaused")
    assert demo.pods() == pods
    demo.apply(paused=False)
    demo.wait_settled()
    assert images(demo) == {kube.images.next}


def test_a_topic_that_no_order_of_restarts_could_spare_blocks_none(kube, demo):
    """One replica, and as many replicas as `min.insync.replicas`."""
    demo.topic("single", partitions=3, replicationFactor=1)
    demo.topic("strict", partitions=3, replicationFactor=3, config={"min.insync.replicas": "3"})
    demo.wait_topic("single")
    demo.wait_topic("strict")
    demo.apply(image=kube.images.next)
    demo.wait_settled()
    assert images(demo) == {kube.images.next}


def observed(found: dict) -> bool:
    """Whether the status is about the resource as it is now."""
    return found["status"].get("observedGeneration") == found["metadata"]["generation"]
