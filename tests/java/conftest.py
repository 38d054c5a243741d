"""The JVM that runs the Java client's cases, and the jars and classes that it needs."""

import pytest

from java import jvm


@pytest.fixture(scope="session")
def java():
    """The pinned jars and the compiled cases are there; the module that starts JVMs."""
    jvm.prepare()
    return jvm


@pytest.fixture(scope="module")
def driver(java, shared_broker, session_directory, request):
    """A JVM for the cases of one module; clients that they leave open live until the module ends."""
    log = session_directory / f"{request.module.__name__.split('.')[-1]}-jvm.log"
    driver = java.Driver(shared_broker.bootstrap, log)
    yield driver
    driver.close()
