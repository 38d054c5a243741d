"""Helm, both versions of it, as far as it needs no Kubernetes: what the chart becomes with some values."""

import functools
import os
import subprocess
from pathlib import Path

import yaml

from harness.paths import REPOSITORY, TESTS

CHART = REPOSITORY / "charts/fjord"
VALUES = sorted((TESTS / "kube/chart").glob("*.yaml"))
KUBERNETES = "1.34.4"
NAMESPACE = "fjord-system"

Object = dict


class Refused(Exception):
    """Helm would not do it."""


@functools.cache
def printed(*command: str) -> str:
    """What a command prints; the chart stays as it is, so that one is enough of each."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise Refused(done.stdout + done.stderr)
    return done.stdout


class Helm:
    """One version of Helm."""

    def __init__(self, version: int) -> None:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        found = sorted(cache.glob(f"fjord/kube/*/helm{version}"))
        assert found, f"there is no helm{version} in {cache}/fjord/kube: tests/run install kube"
        self._program = found[-1]

    def run(self, *arguments) -> str:
        """What a command prints."""
        return printed(*(str(part) for part in (self._program, *arguments)))

    def lint(self, values: Path) -> str:
        return self.run("lint", "--strict", "--kube-version", KUBERNETES, "--values", values, CHART)

    def template(self, values: Path | None = None, *options, release: str = "fjord") -> list[Object]:
        """The objects of a release."""
        given = ["--values", values] if values else []
        where = ["--namespace", NAMESPACE, "--kube-version", KUBERNETES]
        text = self.run("template", release, CHART, *where, *given, *options)
        return [document for document in yaml.load_all(text, Loader=yaml.CSafeLoader) if document]


def key(item: Object) -> tuple[str, str, str]:
    """What tells an object from all others."""
    return item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"]


def kinds(objects: list[Object], kind: str) -> list[Object]:
    """The objects of a kind."""
    return [item for item in objects if item["kind"] == kind]


def only(objects: list[Object], kind: str) -> Object:
    """The one object of its kind."""
    [item] = kinds(objects, kind)
    return item
