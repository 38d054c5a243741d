"""The Helm chart, with both versions of Helm: what it installs with which values, and what it refuses."""

import re
import tarfile

import pytest
import yaml

from harness.paths import REPOSITORY
from kube.helm import CHART, NAMESPACE, VALUES, Helm, Object, Refused, key, kinds, only

RECOMMENDED = {"name", "instance", "version", "component", "part-of", "managed-by"}
CLUSTER_WIDE = {"CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding"}
named = {path.stem: path for path in VALUES}


@pytest.fixture(params=[3, 4], ids=["helm3", "helm4"], scope="module")
def helm(request) -> Helm:
    return Helm(request.param)


@pytest.fixture(params=VALUES, ids=lambda path: path.stem)
def values(request):
    return request.param


def test_lint_finds_nothing(helm, values):
    assert "1 chart(s) linted, 0 chart(s) failed" in helm.lint(values)


def test_both_helms_install_the_same(values):
    three, four = ({key(item): item for item in Helm(version).template(values)} for version in (3, 4))
    assert three == four


def test_objects_have_names_labels_and_namespaces_of_their_own(helm, values):
    objects = helm.template(values)
    assert len({key(item) for item in objects}) == len(objects)
    for item in objects:
        labels = item["metadata"]["labels"]
        assert {f"app.kubernetes.io/{label}" for label in RECOMMENDED} | {"helm.sh/chart"} <= set(labels), key(item)
        assert ("namespace" in item["metadata"]) == (item["kind"] not in CLUSTER_WIDE), key(item)


def test_long_names_are_cut(helm):
    # 53 characters are the most that Helm takes for a release.
    for item in helm.template(named["everything"], release="r" * 53):
        assert len(item["metadata"]["name"]) <= 253
        assert all(len(label) <= 63 for label in item["metadata"]["labels"].values())
        if item["kind"] in ("Deployment", "Pod", "ServiceAccount"):
            assert len(item["metadata"]["name"]) <= 63


def test_the_operators_pods_are_found_and_no_other(helm):
    objects = helm.template(named["everything"])
    operator, test = only(objects, "Deployment"), only(objects, "Pod")
    monitor = next(item for item in kinds(objects, "PodMonitor") if "namespaceSelector" not in item["spec"])
    selectors = [
        operator["spec"]["selector"],
        only(objects, "PodDisruptionBudget")["spec"]["selector"],
        only(objects, "NetworkPolicy")["spec"]["podSelector"],
        monitor["spec"]["selector"],
    ]
    for selector in selectors:
        wanted = selector["matchLabels"].items()
        assert wanted <= operator["spec"]["template"]["metadata"]["labels"].items()
        assert not wanted <= test["metadata"]["labels"].items()


def test_optional_objects_come_with_their_values(helm):
    optional = {
        "podMonitor.enabled": ("PodMonitor", 2),
        "prometheusRule.enabled": ("PrometheusRule", 1),
        "dashboards.enabled": ("ConfigMap", 1),
        "networkPolicy.enabled": ("NetworkPolicy", 1),
    }
    for value, (kind, count) in optional.items():
        assert not kinds(helm.template(), kind)
        assert len(kinds(helm.template(None, "--set", f"{value}=true"), kind)) == count, value
    assert kinds(helm.template(), "PodDisruptionBudget")
    assert not kinds(helm.template(None, "--set", "replicas=1"), "PodDisruptionBudget")
    kept = {"Deployment", "Pod"}
    assert {item["kind"] for item in helm.template(named["least"])} == kept


def test_the_image_is_one_for_operator_brokers_and_test(helm):
    digest = "sha256:" + "0123456789abcdef" * 4
    for values, image in [
        ("default", "ghcr.io/fjord-dev/fjord:0.1.0"),
        ("everything", f"images.example.com/fjord@{digest}"),
    ]:
        objects = helm.template(named[values])
        [operator] = only(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
        [test] = only(objects, "Pod")["spec"]["containers"]
        assert operator["image"] == test["image"] == image
        assert f"--image={image}" in operator["args"]


def test_the_chart_has_the_version_of_the_programs():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    [version] = re.findall(r'^version = "(.*)"$', (REPOSITORY / "Cargo.toml").read_text(), re.MULTILINE)
    assert chart["version"] == chart["appVersion"] == version


def raw_crds() -> list[Object]:
    return [yaml.safe_load(path.read_text()) for path in sorted((REPOSITORY / "crds").glob("*.yaml"))]


@pytest.mark.parametrize("values", ["default", "everything"])
def test_crds_are_those_of_the_operators_types(helm, values):
    installed = kinds(helm.template(named[values]), "CustomResourceDefinition")
    assert len(installed) == 2
    for crd, raw in zip(installed, raw_crds(), strict=True):
        assert crd["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
        assert {**crd, "metadata": raw["metadata"]} == raw


def test_crds_are_in_the_package(helm, tmp_path):
    helm.run("package", CHART, "--destination", tmp_path)
    [package] = tmp_path.glob("*.tgz")
    with tarfile.open(package) as files:
        packed = [yaml.safe_load(files.extractfile(name)) for name in sorted(files.getnames()) if "/files/crds/" in name]
    assert packed == raw_crds()


def test_the_test_pod_asks_the_cluster_that_values_name(helm):
    for values, address in [("default", f"demo-grpc.{NAMESPACE}.svc:9192"), ("everything", "orders-grpc.shop.svc:9192")]:
        test = only(helm.template(named[values]), "Pod")
        assert test["metadata"]["annotations"]["helm.sh/hook"] == "test"
        assert test["spec"]["containers"][0]["env"] == [{"name": "FJORD_BROKER", "value": address}]


def refusal(helm: Helm, *options) -> str:
    with pytest.raises(Refused) as refused:
        helm.template(None, *options)
    return str(refused.value)


def test_an_old_kubernetes_is_refused(helm):
    assert "requires kubeVersion" in refusal(helm, "--kube-version", "1.29.9")


def test_a_service_account_from_elsewhere_needs_a_name(helm):
    assert "serviceAccount.name is needed" in refusal(helm, "--set", "serviceAccount.create=false")
