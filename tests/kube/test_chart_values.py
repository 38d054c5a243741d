"""The chart's values: the schema knows all of them, and nothing else is taken."""

import json

import pytest
import yaml

from kube.helm import CHART, Helm, Refused

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text())


@pytest.fixture(params=[3, 4], ids=["helm3", "helm4"], scope="module")
def helm(request) -> Helm:
    return Helm(request.param)


def closed(schema: dict, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], dict]:
    """All objects of the schema whose keys are known, by their paths."""
    if schema.get("additionalProperties") is not False:
        return {}
    found = {path: schema}
    for name, inner in schema["properties"].items():
        found |= closed(inner, (*path, name))
    return found


def default(path: tuple[str, ...]):
    value = DEFAULTS
    for name in path:
        value = value[name]
    return value


@pytest.mark.parametrize("path", closed(SCHEMA), ids=lambda path: ".".join(path) or "top")
def test_schema_and_values_know_the_same_keys(path):
    # Charts that contain this one hand `global` in, and resources may have claims.
    optional = {(): {"global"}, ("resources",): {"claims"}}.get(path, set())
    assert set(closed(SCHEMA)[path]["properties"]) - optional == set(default(path))


@pytest.mark.parametrize("path", closed(SCHEMA), ids=lambda path: ".".join(path) or "top")
def test_unknown_keys_are_refused(helm, path):
    with pytest.raises(Refused, match=r"(?i)additional propert"):
        helm.template(None, "--set", ".".join((*path, "unheardOf")) + "=1")


@pytest.mark.parametrize(
    "value",
    [
        "replicas=many",
        "replicas=-1",
        "image.pullPolicy=Sometimes",
        "image.digest=sha256:12",
        "image.repository=",
        "log.format=xml",
        "watchNamespaces={Shop}",
        "watchNamespaces=shop",
        "podDisruptionBudget.maxUnavailable=0",
        "podMonitor.interval=soon",
        "imagePullSecrets[0].key=images",
        "tests.cluster.name=",
        "crds.install=perhaps",
    ],
)
def test_values_that_mean_nothing_are_refused(helm, value):
    with pytest.raises(Refused, match="values don't meet the specifications of the schema"):
        helm.template(None, "--set", value)


def test_a_chart_around_this_one_may_hand_its_globals_in(helm):
    assert helm.template(None, "--set", "global.region=north")
