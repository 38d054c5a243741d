"""More brokers and fewer, under load."""

import pytest

from harness.cluster import Pending, wait_for

from .brokers import KIND, Brokers
from .kubectl import KubectlFailed
from .test_rolling import LOAD, faultless


@pytest.fixture
def demo(brokers) -> Brokers:
    """Three brokers with a topic that can be spread over five."""
    made = brokers()
    made.wait_settled()
    made.topic("orders", partitions=6)
    made.wait_topic("orders")
    return made


def replicas(demo: Brokers) -> dict[int, int]:
    """How many replicas each broker has."""
    return {each["broker"]: each.get("replicas") or 0 for each in demo.status()["brokers"]}


def test_from_three_to_five_and_back(demo, load, figures):
    """New brokers get their fair share; those that leave, both at once, give it back first."""
    kept = demo.pods()
    under = load("load", demo.bootstrap, LOAD)
    under.wait_acknowledged(500)
    with figures.seconds("from three brokers to five"):
        demo.apply(replicas=5)
        demo.wait_settled()
        demo.wait_condition("Balanced")
    shares = replicas(demo)
    assert len(shares) == 5
    assert max(shares.values()) - min(shares.values()) <= max(2, sum(shares.values()) // 10)
    assert {name: demo.pods()[name] for name in kept} == kept
    under.wait_acknowledged(500)
    with figures.seconds("from five brokers to three"):
        demo.apply(replicas=3)
        demo.wait_settled()
    assert demo.pods() == kept
    assert sorted(demo.status()["voters"]) == [0, 1, 2]
    under.wait_acknowledged(500)
    faultless(under.finish())


def test_back_again_half_way(demo, load):
    """A resource that is changed back while brokers give away what they have is followed back."""
    demo.apply(replicas=5)
    demo.wait_settled()
    under = load("load", demo.bootstrap, LOAD)
    under.wait_acknowledged(500)
    pods = demo.pods()
    demo.apply(replicas=3)

    def leaving() -> bool:
        if not any(each.get("cordoned") for each in demo.status()["brokers"]):
            raise Pending("no broker is cordoned")
        return True

    wait_for("brokers begin to leave", leaving)
    demo.apply(replicas=5)
    status = demo.wait_settled()
    assert not any(each.get("cordoned") for each in status["brokers"])
    assert demo.pods() == pods
    faultless(under.finish())


def test_too_few_for_the_replicas_of_a_topic(demo):
    pods = demo.pods()
    demo.apply(replicas=2)
    assert "3 replicas" in demo.wait_condition("ScaleBlocked")["message"]
    assert demo.pods() == pods
    demo.apply(replicas=3)
    demo.wait_settled()
    assert demo.pods() == pods


def test_the_scale_subresource(demo):
    """As autoscalers use it."""
    demo.kubectl("scale", KIND, "demo", "--replicas=4")
    demo.kubectl.wait(KIND, "demo", "four are ready", lambda found: found["status"].get("readyReplicas") == 4)
    demo.spec["replicas"] = 4
    demo.wait_settled()


def test_a_volume_becomes_no_smaller(demo):
    with pytest.raises(KubectlFailed, match=r"(?i)storage|shrink|smaller"):
        demo.apply(storage={"size": "500Mi"})
