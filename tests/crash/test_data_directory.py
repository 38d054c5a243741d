"""Who may use a data directory: one broker at a time, and none that is older than its format."""

from crash.machine import CrashBroker


def test_a_second_broker_is_refused(fresh_broker, session_directory):
    """It is told so, and the first one does not notice."""
    second = CrashBroker(session_directory / "second")
    second.data = fresh_broker.data
    assert "is in use by another process" in second.refused_start()
    assert fresh_broker.is_ready()


def test_the_directory_of_another_broker_is_refused(fresh_broker, session_directory):
    """Its partitions are led by that one; the message says how to go on."""
    fresh_broker.stop()
    other = CrashBroker(session_directory / "other", {"node.id": "7"})
    other.data = fresh_broker.data
    said = other.refused_start()
    assert f"{fresh_broker.data} belongs to broker 1, and node.id is 7; set node.id=1" in said, said
    fresh_broker.start()


def test_a_newer_format_is_refused(fresh_broker):
    """The message names the file, both versions and what to do; the directory stays as it is."""
    fresh_broker.stop()
    format_file = fresh_broker.data / "format"
    written = format_file.read_text()
    word, version = written.split()
    format_file.write_text(f"{word} {int(version) + 1}\n")
    before = sorted((path, path.stat().st_mtime_ns) for path in fresh_broker.data.rglob("*") if path.is_file())
    said = fresh_broker.refused_start()
    assert f"{format_file} has format version {int(version) + 1}" in said and "use a newer release" in said, said
    after = sorted((path, path.stat().st_mtime_ns) for path in fresh_broker.data.rglob("*") if path.is_file())
    assert after == before
    format_file.write_text(written)
    fresh_broker.start()
