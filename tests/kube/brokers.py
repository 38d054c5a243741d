"""A Cluster, as somebody who applies it sees it."""

import json

from .kubectl import Kubectl, Object, condition_of

KIND = "clusters.fjord.dev"
TOPICS = "topics.fjord.dev"
SAFE = {"default.replication.factor": "3", "min.insync.replicas": "2", "offsets.topic.num.partitions": "6"}
READY_S = 90.0
SETTLED_S = 180.0


class Brokers:
    """A Cluster of a test's own, and its brokers."""

    def __init__(self, kubectl: Kubectl, name: str = "demo", **spec):
        """`spec` is the resource's; three brokers that keep three replicas unless it says otherwise."""
        self.kubectl, self.name = kubectl, name
        self.spec = {"replicas": 3, "storage": {"size": "1Gi"}, "config": SAFE, **spec}
        self.apply()

    @property
    def bootstrap(self) -> str:
        """Where Kafka's clients begin, in any namespace."""
        return f"{self.name}-bootstrap.{self.kubectl.namespace}.svc:9092"

    @property
    def labels(self) -> str:
        """Which pods are the brokers."""
        return f"app.kubernetes.io/name=fjord,app.kubernetes.io/instance={self.name}"

    def apply(self, **changes) -> None:
        """Applies the resource with these fields of its spec changed; None takes one out."""
        self.spec = {name: value for name, value in {**self.spec, **changes}.items() if value is not None}
        self.kubectl.apply(self._resource("Cluster", self.name, self.spec))

    def _resource(self, kind: str, name: str, spec: dict) -> Object:
        return {"apiVersion": "fjord.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}

    def get(self) -> Object:
        """The resource."""
        return self.kubectl.get(KIND, self.name)

    def status(self) -> Object:
        """Its status."""
        return self.get().get("status", {})

    def wait_condition(self, condition: str, status: str = "True", timeout_s: float = READY_S) -> Object:
        """Waits until a condition of the resource as it is now has this status, and returns the condition."""

        def fits(found: Object) -> bool:
            told = condition_of(found, condition)
            return told.get("status") == status and told.get("observedGeneration") == found["metadata"]["generation"]

        found = self.kubectl.wait(KIND, self.name, f"{condition} is {status}", fits, timeout_s)
        return condition_of(found, condition)

    def wait_settled(self, timeout_s: float = SETTLED_S) -> Object:
        """Waits until the brokers are as the resource says, all ready, nothing is under way, and returns the status."""

        def is_settled(found: Object) -> bool:
            status, generation = found.get("status", {}), found["metadata"]["generation"]
            has = {each["type"]: each["status"] for each in status.get("conditions", [])}
            wanted = {"Ready": "True", "Progressing": "False", "Degraded": "False"}
            replicas = found["spec"]["replicas"]
            return (
                status.get("observedGeneration") == generation
                and {name: has.get(name) for name in wanted} == wanted
                and len(status.get("brokers", [])) == replicas
                and len(status.get("voters", [])) == (1 if replicas < 3 else 3 if replicas < 5 else 5)
            )

        return self.kubectl.wait(KIND, self.name, "it is settled", is_settled, timeout_s)["status"]

    def pods(self) -> dict[str, str]:
        """The unique ids of the brokers' pods, by name."""
        return {each["metadata"]["name"]: each["metadata"]["uid"] for each in self.kubectl.list("pods", self.labels)}

    def node_of(self, broker: int) -> str:
        """The node that a broker is on."""
        return self.kubectl.get("pod", f"{self.name}-{broker}")["spec"]["nodeName"]

    def wait_other_pod(self, broker: int, uid: str, timeout_s: float = READY_S) -> None:
        """Waits until a broker has another pod, which is ready."""
        pod = f"{self.name}-{broker}"
        self.kubectl.wait("pod", pod, "it is another one", lambda found: found["metadata"]["uid"] != uid, timeout_s)
        self.kubectl.wait_condition("pod", pod, "Ready", timeout_s=timeout_s)

    def tool(self, *arguments: str, broker: int = 0) -> str:
        """Runs the command line in a broker's pod."""
        return self.kubectl.execute(f"{self.name}-{broker}", "/usr/bin/fjord", *arguments)

    def json(self, *arguments: str, broker: int = 0):
        """What the command line tells for programs."""
        return json.loads(self.tool(*arguments, "--output", "json", broker=broker))

    def topic(self, name: str, **spec) -> None:
        """Applies a Topic of this cluster."""
        self.kubectl.apply(self._resource("Topic", name, {"cluster": {"name": self.name}, **spec}))

    def wait_topic(self, name: str, condition: str = "Ready", status: str = "True", timeout_s: float = READY_S) -> Object:
        """Waits until a Topic as it is now is ready, and returns its status."""

        def fits(found: Object) -> bool:
            told = condition_of(found, condition)
            return told.get("status") == status and told.get("observedGeneration") == found["metadata"]["generation"]

        return self.kubectl.wait(TOPICS, name, f"{condition} is {status}", fits, timeout_s)["status"]

    def events(self, reason: str) -> list[str]:
        """What events with this reason say."""
        events = self.kubectl.list("events.events.k8s.io")
        return [each.get("note", "") for each in events if each.get("reason") == reason]
