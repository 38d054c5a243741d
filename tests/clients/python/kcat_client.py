"""kcat as a member of a consumer group, with the events of ../README.md. The rest of kcat is in ../test_kcat.py.

kcat commits by itself, every 100 ms here; so the answer to `commit` is always yes, and the tests
look at the committed offsets.
"""

import re
import signal
import subprocess
import threading

from common import Input, emit, emit_record, main

REBALANCED = re.compile(r"rebalanced \(memberid .*\): (assigned|revoked): (.*)")
PARTITION = re.compile(r"\[(\d+)\]")


def group(bootstrap, topic, group):
    settings = ["auto.offset.reset=earliest", "auto.commit.interval.ms=100", "session.timeout.ms=10000",
                "heartbeat.interval.ms=500", "reconnect.backoff.max.ms=500"]  # fmt: skip
    options = [option for setting in settings for option in ("-X", setting)]
    kcat = subprocess.Popen(
        ["kcat", "-E", "-u", "-b", bootstrap, *options, "-f", "%p %o %T %K %S\n%k%s", "-G", group, topic],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    readers = [threading.Thread(target=show, args=[kcat.stdout]), threading.Thread(target=show_changes, args=[kcat.stderr])]
    for reader in readers:
        reader.start()
    commands = Input().messages()
    while kcat.poll() is None:
        message = next(commands, {"command": "stop"})
        if message and message["command"] == "commit":
            emit("committed")
        elif message:
            kcat.send_signal(signal.SIGTERM)
            break
    kcat.wait()
    for reader in readers:
        reader.join()


def show(output):
    """Each message is a line of numbers, then as many bytes of key and value as it says."""
    while line := output.readline():
        partition, offset, timestamp, key_size, value_size = map(int, line.split())
        key, value = (None if size < 0 else output.read(size) for size in (key_size, value_size))
        emit_record(partition, offset, timestamp, key, value, None)


def show_changes(errors):
    for line in errors:
        change = REBALANCED.search(line.decode())
        if change:
            owned = PARTITION.findall(change[2]) if change[1] == "assigned" else []
            emit("assigned", partitions=[int(partition) for partition in owned])


main(group=group)
