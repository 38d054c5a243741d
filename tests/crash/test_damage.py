"""Flipped bytes and torn tails in every file of the data directory, one at a time, after an unclean stop."""

import re
import shutil
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from confluent_kafka import KafkaException, Producer

from crash.data_directory import GROUP, TOPICS, Directory, Place, Reading, committed, fill
from crash.machine import CrashBroker
from crash.value_log import FILE_HEADER_BYTES, METADATA_PARTITION, Entry

UNTOUCHED = ("lock",)
"""Files without content."""
NAMED = ("clean", "format", "metadata.copy", *UNTOUCHED)


@pytest.fixture(scope="module")
def machine(session_directory):
    """A broker that is not running, to be started on one damaged copy after the other."""
    broker = CrashBroker(session_directory / "damage", {"group.initial.rebalance.delay.ms": "0"})
    yield broker
    if broker.process is not None:
        broker.kill()


@pytest.fixture(scope="module")
def crashed(machine, session_directory):
    """What a crash left behind, undamaged otherwise."""
    machine.start()
    directory = fill(machine)
    pristine = session_directory / "crashed"
    directory.copy(pristine)
    directory.path = pristine
    return directory


@pytest.fixture(scope="module")
def stopped(machine, crashed, session_directory):
    """What a clean stop left behind."""
    crashed.copy(machine.data)
    machine.start()
    machine.stop()
    directory = replace(crashed, path=machine.data)
    pristine = session_directory / "stopped"
    directory.copy(pristine)
    directory.path = pristine
    return directory


@dataclass(frozen=True)
class Round:
    """One damage, and what it may cost."""

    file: Path
    what: str
    at: int
    data: bytes | None = None
    """Written at that place; None: the byte there is changed. Empty: the file is cut there."""
    costs: Entry | None = None
    """The entry that it damages."""
    costs_a_commit: bool = False
    """Whether it damages the group's newest commit too."""

    def apply(self, directory: Path) -> None:
        """Damages the file."""
        path = directory / self.file
        with open(path, "r+b") as file:
            file.seek(self.at)
            if self.data is None:
                before = file.read(1)
                file.seek(self.at)
                file.write(bytes([before[0] ^ 0x55]))
            elif self.data:
                file.write(self.data)
            else:
                file.truncate(self.at)

    def __str__(self) -> str:
        return f"{self.file}: {self.what} at byte {self.at}"


def test_the_undamaged_directory_is_complete(machine, crashed):
    """Without damage, nothing is missing: otherwise the other tests prove nothing."""
    run(machine, crashed, [Round(Path("format"), "nothing", 0, (crashed.path / "format").read_bytes())])
    places = {crashed.partitions.get(entry.partition) for file in value_log(crashed) for entry in crashed.entries(file)}
    assert set(crashed.batches) <= places


def test_flipped_bytes_in_the_value_log(machine, crashed):
    """A damaged record is refused and reported, whatever else is damaged costs nothing."""
    rounds = [round for file in value_log(crashed) for round in value_log_rounds(crashed, file)]
    kinds = Counter(round.costs.kind for round in rounds if round.costs)
    assert {"append", "snapshot", "create"} <= set(kinds), kinds
    run(machine, crashed, rounds, again=True)


def test_a_torn_tail(machine, crashed):
    """What a write that never finished left behind is cut off."""
    file = value_log(crashed)[-1]
    last = crashed.entries(file)[-1]
    data = (crashed.path / file).read_bytes()
    header = data[last.position : last.payload]
    garbage = bytes(range(1, 256)) * 40
    # The tail of an entry: its header says that it belongs right behind the last one.
    run(machine, crashed, [
        Round(file, "garbage behind the last entry", last.end, garbage),
        Round(file, "garbage further on", last.end + 8192, garbage),
        Round(file, "a copy of the last entry", last.end, data[last.position : last.end]),
        Round(file, "half a header", last.end, header[:32]),
        Round(file, "nothing behind the last entry", last.end, b""),
    ], again=True)  # fmt: skip


def test_a_cut_tail(machine, crashed):
    """Records that were acknowledged and then cut off are refused, not forgotten, and their offsets are not given away."""
    file = value_log(crashed)[-1]
    last = records(crashed, file)[-1]
    behind = [entry for entry in crashed.entries(file) if entry.position > last.position]
    cut = Round(file, "the last record and all behind it is cut off", last.payload + 10, b"", last, True)
    print(f"cut off: {[last.kind, *(entry.kind for entry in behind)]}")
    run(machine, crashed, [cut], again=True)


def test_flipped_bytes_in_sidecars(machine, crashed):
    """A sidecar only saves time."""
    files = [file for file in crashed.files() if file.suffix == ".idx"]
    assert files, "no file has been sealed"
    rounds = [round for file in files for round in anywhere(crashed, file)]
    run(machine, crashed, rounds)
    without_index = [round for file in files for round in anywhere(crashed, file)[:2]]
    run(machine, crashed, without_index, remove="index")


def test_flipped_bytes_in_the_index(machine, crashed):
    """The index is derived, and made anew where it is damaged."""
    files = [file for file in crashed.files() if file.parts[0] == "index" and size(crashed, file) > 0]
    assert len(files) > 5, files
    run(machine, crashed, [round for file in files for round in anywhere(crashed, file)])


def test_flipped_bytes_after_a_clean_stop(machine, stopped):
    """The mark of a clean stop is a hint; damage is found all the same."""
    assert Path("clean") in stopped.files()
    rounds = anywhere(stopped, Path("clean"))
    file = value_log(stopped)[-2]
    last = records(stopped, file)[-1]
    rounds.append(Round(file, "last record", last.payload + 30, costs=last))
    run(machine, stopped, rounds, again=True)


def test_every_file_is_covered(crashed, stopped):
    """A new kind of file must not go untested."""
    for file in {*crashed.files(), *stopped.files()}:
        known = file.parts[0] == "index" or file.suffix in (".vlog", ".idx") or file.name in NAMED
        assert known, f"{file} is in the data directory, and no test damages it"
        assert file.name not in UNTOUCHED or size(crashed, file) == 0


def test_flipped_bytes_in_the_copy_of_the_metadata(machine, crashed):
    """The metadata is in the log; its copy only helps where that is damaged, and is written anew."""
    run(machine, crashed, anywhere(crashed, Path("metadata.copy")))
    assert machine.log_text().count("cannot write the copy") == 0


def test_metadata_damaged_twice_is_refused(machine, crashed):
    """Without any whole copy the broker says what is damaged and what to do, and deletes nothing."""
    file = value_log(crashed)[0]
    entry = next(
        entry for entry in crashed.entries(file) if entry.partition == METADATA_PARTITION and entry.kind == "append"
    )
    directory = crashed.copy(machine.data)
    Round(file, "payload", entry.payload + entry.length // 2).apply(directory)
    (directory / "metadata.copy").unlink()
    said = machine.refused_start()
    assert f"__cluster_metadata-0: damaged record batch at offset {entry.base_offset}" in said, said
    assert "metadata.copy is missing or damaged too; restore the data directory from a backup" in said, said
    shutil.copy(crashed.path / "metadata.copy", directory)
    machine.start()
    assert not Reading(machine, crashed).refused
    machine.kill()


def test_flipped_bytes_in_the_format_file(machine, crashed):
    """Beside a sound value log it is written again."""
    run(machine, crashed, anywhere(crashed, Path("format")))


def test_a_directory_of_something_else_is_refused(machine):
    """Nothing is written into a directory that holds something of another kind under that name."""
    shutil.rmtree(machine.data, ignore_errors=True)
    machine.data.mkdir(parents=True)
    (machine.data / "format").write_text("some other program's file\n")
    said = machine.refused_start()
    assert f"{machine.data}/format is not a format file" in said, said
    assert sorted(path.name for path in machine.data.iterdir()) == ["format", "lock"]


def test_damage_is_counted_and_reported_once_read(machine, crashed):
    """The metric and the log name what was refused."""
    file = value_log(crashed)[0]
    entry = records(crashed, file)[0]
    Round(file, "payload", entry.payload + 40).apply(crashed.copy(machine.data))
    machine.start()
    assert Reading(machine, crashed).refused
    assert machine.figure("fjord_log_damaged_reads_total") >= 1
    machine.kill()


def value_log(directory: Directory) -> list[Path]:
    """The value log's files that hold entries."""
    return [file for file in directory.files() if file.suffix == ".vlog" and directory.entries(file)]


def records(directory: Directory, file: Path) -> list[Entry]:
    """The entries of a file that hold records of the tests' own topics."""
    return [entry for entry in directory.entries(file) if entry.kind == "append" and entry.partition in directory.partitions]


def size(directory: Directory, file: Path) -> int:
    """Length of a file up to its last byte that is not zero."""
    return len((directory.path / file).read_bytes().rstrip(b"\0"))


def anywhere(directory: Directory, file: Path) -> list[Round]:
    """Damage to a file of which nothing but its length is known."""
    end = size(directory, file)
    places = sorted({0, end // 3, end // 2, max(0, end - 1)})
    flips = [Round(file, "flipped", at) for at in places]
    return [*flips, Round(file, "cut in half", end // 2, b""), Round(file, "emptied", 0, b"")]


def value_log_rounds(directory: Directory, file: Path) -> list[Round]:
    """Header and payload of one entry of every kind and purpose, in the middle and at both ends."""
    found = directory.entries(file)
    chosen: dict[tuple, Entry] = {}
    for entry in found:
        chosen.setdefault(
            (entry.kind, directory.partitions.get(entry.partition), entry.partition == METADATA_PARTITION), entry
        )
    own = records(directory, file)
    ends = (found[0], found[len(found) // 2], own[-1], found[-1])
    entries = {*chosen.values(), *ends}
    # One partition of a topic stands for the others.
    entries = [e for e in entries if directory.partitions.get(e.partition) in (None, ("alpha", 0)) or e in ends]
    rounds = [Round(file, "file header", 9)]
    for entry in sorted(entries, key=lambda entry: entry.position):
        rounds.append(Round(file, f"header of {entry.kind}", entry.position + 33, costs=entry))
        if entry.length > 0:
            rounds.append(Round(file, f"payload of {entry.kind}", entry.payload + entry.length // 2, costs=entry))
    rounds.append(Round(file, "start of the payload", own[0].payload + 3, costs=own[0]))
    assert found[0].position == FILE_HEADER_BYTES
    return rounds


def run(
    machine: CrashBroker, directory: Directory, rounds: list[Round], again: bool = False, remove: str | None = None
) -> None:
    """Each damage on a fresh copy: the broker starts and serves all but what is damaged; `again` after a clean stop too."""
    failures = []
    for round in rounds:
        copy = directory.copy(machine.data)
        if remove:
            shutil.rmtree(copy / remove)
        round.apply(copy)
        print(round, flush=True)
        logged = len(machine.log_text())
        try:
            machine.start()
            examine(machine, directory, round, logged, first_time=True)
            if again:
                machine.restart()
                examine(machine, directory, round, len(machine.log_text()), first_time=False)
            machine.kill()
            machine.check_log()
        except (AssertionError, KafkaException) as error:
            failures.append(f"{round}\n{error}\n{tail(machine, logged)}")
            machine.skip_log()
        finally:
            if machine.process is not None:
                machine.kill()
    print(f"{len(rounds)} rounds, {len(failures)} failed")
    assert not failures, "\n\n".join(failures)


def tail(machine: CrashBroker, logged: int) -> str:
    """What the broker logged in a round, without what says nothing."""
    lines = machine.log_text()[logged:].splitlines()
    return "\n".join([line for line in lines if " INFO " not in line][-20:])


def examine(machine: CrashBroker, directory: Directory, round: Round, logged: int, first_time: bool) -> None:
    """Compares what is served with what was acknowledged."""
    reading = Reading(machine, directory)
    place = directory.partitions.get(round.costs.partition) if round.costs and round.costs.kind == "append" else None
    wanted = {place: list(range(round.costs.base_offset, round.costs.last_offset + 1))} if place else {}
    assert reading.refused == wanted, f"refused {reading.refused}, damaged is {wanted}"
    if place:
        line = re.compile(rf"ERROR.*{place[0]}-{place[1]}.* offset.*\b{round.costs.base_offset}\b")
        text = re.sub(r"\x1b\[[0-9;]*m", "", machine.log_text()[logged:])
        assert line.search(text), f"no line of the log names {place[0]}-{place[1]} and offset {round.costs.base_offset}"
    group_is_right(machine, directory, round)
    topics_are_right(machine)
    if first_time:
        appends_go_on(machine, directory)


def group_is_right(machine: CrashBroker, directory: Directory, round: Round) -> None:
    """The group's offsets are what was committed; a damaged commit may cost that one commit."""
    now = committed(machine, directory)
    allowed = [directory.committed]
    damaged_commit = round.costs and round.costs.kind == "append" and round.costs.partition not in directory.partitions
    if round.costs_a_commit or (damaged_commit and round.costs.partition != METADATA_PARTITION):
        allowed.append(directory.committed_before)
    assert now in allowed, f"{GROUP} is at {now}, not {directory.committed}"


def topics_are_right(machine: CrashBroker) -> None:
    """Every topic exists."""
    wanted = {*TOPICS, "empty-0", "empty-1", "empty-2", "__consumer_offsets"}
    listed = set(Producer({"bootstrap.servers": machine.bootstrap, "log_level": 2}).list_topics(timeout=30).topics)
    assert wanted <= listed, f"topics {wanted - listed} are gone"


def appends_go_on(machine: CrashBroker, directory: Directory) -> None:
    """New records get offsets that no record had before."""
    producer = Producer({"bootstrap.servers": machine.bootstrap, "log_level": 2, "enable.idempotence": True, "linger.ms": 0})
    offsets: dict[Place, int] = {}

    def delivered(error, message) -> None:
        assert error is None, error
        offsets[message.topic(), message.partition()] = message.offset()

    for topic, partition in directory.batches:
        producer.produce(topic, b"after the damage", partition=partition, on_delivery=delivered)
    producer.flush(30)
    for place in directory.batches:
        assert offsets[place] >= directory.end(place), f"{place} gives offset {offsets[place]} away again"
