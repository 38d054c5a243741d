"""What the chart's pods and the operator may do: as little as they can."""

import re

import pytest

from kube.helm import CHART, NAMESPACE, VALUES, Helm, Object, kinds, only

named = {path.stem: path for path in VALUES}


@pytest.fixture(scope="module")
def helm() -> Helm:
    return Helm(4)


def pod_specs(objects: list[Object]) -> list[Object]:
    templates = [item["spec"]["template"]["spec"] for item in kinds(objects, "Deployment")]
    templates += [item["spec"]["template"]["spec"] for item in kinds(objects, "Job")]
    return [*templates, *(item["spec"] for item in kinds(objects, "Pod"))]


def of_hook(item: Object, hook: str) -> bool:
    """Whether an object is there for a moment in the life of a release only."""
    return item["metadata"].get("annotations", {}).get("helm.sh/hook") == hook


def staying(objects: list[Object]) -> list[Object]:
    """What a release has for as long as it is installed."""
    return [item for item in objects if not of_hook(item, "post-delete")]


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_pods_meet_the_restricted_standard(helm, values):
    specs = pod_specs(helm.template(values))
    assert len(specs) == (2 if values.stem == "least" else 3)
    for spec in specs:
        assert not {"hostNetwork", "hostPID", "hostIPC", "volumes"} & set(spec)
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert not any("hostPort" in port for port in container.get("ports", []))
            assert container["resources"]["requests"] and container["resources"]["limits"]["memory"]


def test_only_the_operator_has_a_token(helm):
    objects = staying(helm.template())
    assert only(objects, "ServiceAccount")["automountServiceAccountToken"] is False
    assert only(objects, "Deployment")["spec"]["template"]["spec"]["automountServiceAccountToken"] is True
    assert only(objects, "Pod")["spec"]["automountServiceAccountToken"] is False


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_rules_name_everything(helm, values):
    for item in helm.template(values):
        for rule in item.get("rules", []):
            assert not any("*" in entry for entries in rule.values() for entry in entries)
            assert not {"secrets", "nodes"} & set(rule["resources"])


def test_all_namespaces_take_a_cluster_role(helm):
    objects = staying(helm.template())
    [binding] = kinds(objects, "ClusterRoleBinding")
    [role] = [item for item in kinds(objects, "ClusterRole") if item["metadata"]["name"] == binding["roleRef"]["name"]]
    assert granted(role["rules"]) > {("clusters", "watch"), ("pods", "delete")}
    assert [item["metadata"]["namespace"] for item in kinds(objects, "Role")] == [NAMESPACE]


def test_named_namespaces_take_a_role_each(helm):
    objects = staying(helm.template(named["namespaces"]))
    assert not {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"} & {item["kind"] for item in objects}
    everywhere = only(staying(helm.template()), "ClusterRoleBinding")["roleRef"]["name"]
    [rules] = [item["rules"] for item in helm.template() if item["metadata"]["name"] == everywhere and "rules" in item]
    for namespace in ("shop", "billing"):
        [role] = [item for item in kinds(objects, "Role") if item["metadata"]["namespace"] == namespace]
        [binding] = [item for item in kinds(objects, "RoleBinding") if item["metadata"]["namespace"] == namespace]
        assert role["rules"] == rules
        assert binding["roleRef"]["name"] == role["metadata"]["name"]
        assert [(who["name"], who["namespace"]) for who in binding["subjects"]] == [("fjord-operator", NAMESPACE)]
    [operator] = only(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert "--watch-namespaces=shop,billing" in operator["args"]
    brokers = next(item for item in kinds(objects, "PodMonitor") if "namespaceSelector" in item["spec"])
    assert brokers["spec"]["namespaceSelector"] == {"matchNames": ["shop", "billing"]}


def test_the_lease_is_the_operators_own(helm):
    objects = staying(helm.template(named["namespaces"]))
    [role] = [item for item in kinds(objects, "Role") if item["metadata"]["namespace"] == NAMESPACE]
    [operator] = only(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    [named_rule] = [rule for rule in role["rules"] if rule["verbs"] != ["create"]]
    assert f"--lease-name={named_rule['resourceNames'][0]}" in operator["args"]
    assert {resource for rule in role["rules"] for resource in rule["resources"]} == {"leases"}


@pytest.mark.parametrize("values", ["default", "namespaces"])
def test_what_lets_go_of_topics_may_do_nothing_else(helm, values):
    """After an uninstallation, whose job goes with its account and its roles."""
    objects = [item for item in helm.template(named[values]) if of_hook(item, "post-delete")]
    rules = [rule for item in objects for rule in item.get("rules", [])]
    leases = {("leases", verb) for verb in ("create", "get", "patch", "delete")}
    assert granted(rules) == {("topics", "list"), ("topics", "patch")} | leases
    assert all("hook-succeeded" in item["metadata"]["annotations"]["helm.sh/hook-delete-policy"] for item in objects)
    account = only(objects, "ServiceAccount")["metadata"]["name"]
    assert only(objects, "Job")["spec"]["template"]["spec"]["serviceAccountName"] == account
    bindings = [item for item in objects if item["kind"].endswith("Binding")]
    assert [who["name"] for item in bindings for who in item["subjects"]] == [account] * (3 if values == "namespaces" else 2)


def test_those_who_edit_or_view_namespaces_do_so_with_clusters_and_topics(helm):
    aggregated = {}
    for role in kinds(helm.template(), "ClusterRole"):
        for label in role["metadata"]["labels"]:
            if found := re.fullmatch(r"rbac.authorization.k8s.io/aggregate-to-(\w+)", label):
                aggregated.setdefault(found[1], set()).update(granted(role["rules"]))
    reading = {(resource, verb) for resource in ("clusters", "topics") for verb in ("get", "list", "watch")}
    assert reading <= aggregated["view"]
    assert {verb for _, verb in aggregated["view"]} == {"get", "list", "watch"}
    assert aggregated["edit"] == aggregated["admin"] > aggregated["view"]
    assert {("topics", "create"), ("clusters", "delete"), ("clusters/scale", "patch")} <= aggregated["edit"]


def granted(rules: list[Object]) -> set[tuple[str, str]]:
    """What rules allow, as pairs of a resource and a verb."""
    return {(resource, verb) for rule in rules for resource in rule["resources"] for verb in rule["verbs"]}


def test_the_readme_lists_what_the_operator_may_do(helm):
    told = set()
    for resources, verbs in re.findall(r"^\| (`[^|]*`) \| ([^|]*) \|", (CHART / "README.md").read_text(), re.MULTILINE):
        for resource in re.findall(r"`([^`]*)`", resources):
            name = resource.removeprefix("events.k8s.io/")
            told |= {(name, verb) for verb in re.findall(r"\b(get|list|watch|create|update|patch|delete)\b", verbs)}
    objects = [item for item in staying(helm.template()) if item["kind"] in ("Role", "ClusterRole")]
    own = [item for item in objects if not re.search("-(view|edit)$", item["metadata"]["name"])]
    assert told == granted([rule for item in own for rule in item["rules"]])
