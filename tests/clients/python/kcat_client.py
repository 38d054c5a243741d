"""kcat as a client program. See ../README.md.

kcat takes headers for all messages of a run, cannot set timestamps, and separates messages by a
delimiter; so a run of kcat is made for every stretch of records that only differ in key and value.
Topics are created by asking for their metadata, as kcat's users do.
"""

import itertools
import json
import re
import signal
import subprocess
import sys
import threading

from common import Input, decode, emit, emit_record, main

MESSAGE_DELIMITER = b"\x1e\x1f\x1e"
KEY_DELIMITER = b"\x1f\x1e\x1f"
ASSIGNED = re.compile(r"rebalanced \(memberid .*\): (assigned|revoked)[:]? ?(.*)$")
PARTITION = re.compile(r"\[(\d+)\]")
DELIVERED = re.compile(r"Message delivered to partition (\d+) \(offset (\d+)\)")


def kcat(bootstrap, *arguments, **options):
    """Starts kcat; it must not give up while the broker is away."""
    fixed = ["-E", "-X", "reconnect.backoff.max.ms=500", "-b", bootstrap]
    return subprocess.Popen(["kcat", *fixed, *arguments], **options)


def create(bootstrap, topic, partitions):
    """The broker creates the topic by itself, with as many partitions as its num.partitions says."""
    for _ in range(100):
        listing = kcat(bootstrap, "-L", "-J", "-t", topic, stdout=subprocess.PIPE)
        (found,) = json.loads(listing.communicate()[0])["topics"]
        if len(found["partitions"]) == partitions and not found.get("error"):
            emit("created")
            return
    sys.exit(f"{topic} was not created with {partitions} partitions: {found}")
