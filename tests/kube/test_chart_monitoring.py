"""Alerts and dashboards of the chart: they ask for metrics that exist, and every alert is explained."""

import json
import re

import pytest
import yaml

from harness.paths import REPOSITORY
from kube.helm import CHART, NAMESPACE, VALUES, Helm, kinds, only

EVERYTHING = next(path for path in VALUES if path.stem == "everything")
SUFFIXES = {"Count": "", "Bytes": "_bytes", "Seconds": "_seconds"}


@pytest.fixture(scope="module")
def objects():
    return Helm(4).template(EVERYTHING)


@pytest.fixture(scope="module")
def rules(objects):
    return [rule for group in only(objects, "PrometheusRule")["spec"]["groups"] for rule in group["rules"]]


@pytest.fixture(scope="module")
def dashboards(objects):
    return [json.loads(text) for item in kinds(objects, "ConfigMap") for text in item["data"].values()]


def known_metrics() -> set[str]:
    """The names under which Prometheus sees the metrics of brokers and operator, from their definitions."""
    return broker_metrics() | operator_metrics()


def broker_metrics() -> set[str]:
    source = (REPOSITORY / "broker/src/observability/definitions.rs").read_text()
    found = re.findall(r'///([^\n]*)\npub const \w+: Definition =\s*Definition::new\(\s*"(\w+)",\s*(\w+),', source)
    names = set()
    for kind, name, unit in found:
        ends = ["_total"] if "Counter" in kind else ["_bucket", "_sum", "_count"] if "Histogram" in kind else [""]
        names |= {name + SUFFIXES[unit] + end for end in ends}
    assert {"fjord_brokers", "fjord_requests_total", "fjord_request_duration_seconds_bucket"} < names
    return names


def operator_metrics() -> set[str]:
    """Those without a unit, each of which may be a counter."""
    source = (REPOSITORY / "operator/src/metrics.rs").read_text()
    [prefix] = re.findall(r'with_prefix\("(\w+)"\)', source)
    names = re.findall(r'\.register\(\s*"(\w+)"', source)
    return {f"{prefix}_{name}{end}" for name in names for end in ("", "_total")}


def asked(expressions) -> set[str]:
    return {name for text in expressions for name in re.findall(r"\b(?:fjord|process)_[a-z_]+\b", text)} - {"fjord_cluster"}


def test_alerts_ask_for_metrics_that_exist(rules):
    assert asked(rule["expr"] for rule in rules) <= known_metrics()


def test_dashboards_ask_for_metrics_that_exist(dashboards):
    texts = [target["expr"] for board in dashboards for panel in board["panels"] for target in panel.get("targets", [])]
    queries = [each["query"] for board in dashboards for each in board["templating"]["list"]]
    assert len(texts) > 20
    assert asked(texts + queries) <= known_metrics()


def test_panels_have_places_of_their_own(dashboards):
    for board in dashboards:
        taken = set()
        for panel in board["panels"]:
            at = panel["gridPos"]
            places = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            assert not places & taken, panel["title"]
            assert at["x"] + at["w"] <= 24
            taken |= places
        assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_every_alert_is_explained_and_every_explanation_has_an_alert(rules):
    [section] = re.findall(
        r"^## Alerts$(.*?)^## ", (REPOSITORY / "docs/operations.md").read_text(), re.MULTILINE | re.DOTALL
    )
    explained = re.findall(r"^### (\w+)$", section, re.MULTILINE)
    assert sorted(explained) == sorted(rule["alert"] for rule in rules)
    for rule in rules:
        assert rule["annotations"]["runbook_url"].endswith(f"docs/operations.md#{rule['alert'].lower()}")


def test_alerts_have_a_severity_and_the_labels_of_the_values(rules):
    for rule in rules:
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["labels"]["team"] == "platform"


def test_the_operators_alerts_are_about_its_own_monitor(objects, rules):
    jobs = {job for rule in rules for job in re.findall(r'job="(.*?)"', rule["expr"])}
    monitors = [item["metadata"]["name"] for item in kinds(objects, "PodMonitor") if "namespaceSelector" not in item["spec"]]
    assert jobs == {f"{NAMESPACE}/{name}" for name in monitors}


def test_the_alerts_file_says_nothing_but_what_is_used():
    groups = yaml.safe_load((CHART / "files/alerts.yaml").read_text())
    for alert in (alert for alerts in groups.values() for alert in alerts):
        assert set(alert) == {"alert", "expr", "for", "severity", "summary"}
