"""Fixtures of the tests of faults."""

import pytest

from .scene import Scene


@pytest.fixture
def quiet(request, tmp_path):
    """A cluster without clients: three brokers, or as many as the test says by an indirect parameter."""
    with Scene(tmp_path, getattr(request, "param", 3)) as scene:
        yield scene
        scene.cluster.check_after(request.node)


@pytest.fixture
def scene(request, tmp_path):
    """A cluster under load."""
    with Scene(tmp_path, getattr(request, "param", 3)) as scene:
        yield scene.load()
        scene.cluster.check_after(request.node)
