"""Brings the pinned jars, compiles the cases in `src`, and starts JVMs: the driver of the cases, and tools.

Nothing is downloaded or compiled twice: the jars belong to the content of pom.xml, the classes to that of `src`.
"""

import hashlib
import json
import os
import queue
import shutil
import subprocess
import threading
from pathlib import Path

from harness.paths import CACHE

HERE = Path(__file__).resolve().parent
LIBS = CACHE / "java" / "libs"
CLASSES = CACHE / "java" / "classes"
TOOL_ARCHIVE = CACHE / "java" / "archive"

# Two cores run the broker and the JVM: a cheap collector, and no time spent on the optimizing compiler.
JVM_OPTIONS = [
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Dfile.encoding=UTF-8",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
]

CASE_TIMEOUT_S = 180
TOOL_TIMEOUT_S = 120


def prepare():
    """Makes jars and classes current; cheap when they are."""
    _once(LIBS, [HERE / "pom.xml"], _copy_dependencies)
    sources = sorted((HERE / "src").rglob("*.java"))
    _once(CLASSES, [HERE / "pom.xml", *sources], lambda into: _compile(sources, into))
    _once(TOOL_ARCHIVE, [HERE / "pom.xml"], _archive_classes)


def _once(directory, inputs, make):
    """Makes `directory` by `make(path)` unless it was made from the same inputs; it is never half made."""
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in inputs)).hexdigest()
    stamp = directory / "made-from"
    if stamp.exists() and stamp.read_text() == digest:
        return
    directory.parent.mkdir(parents=True, exist_ok=True)
    fresh = directory.with_name(f"{directory.name}-{os.getpid()}")
    make(fresh)
    (fresh / "made-from").write_text(digest)
    shutil.rmtree(directory, ignore_errors=True)
    fresh.rename(directory)


def _copy_dependencies(into):
    goal = ["dependency:copy-dependencies", f"-DoutputDirectory={into}"]
    subprocess.run(["mvn", "-q", "-B", "-f", HERE / "pom.xml", *goal], check=True)


def _compile(sources, into):
    options = ["-Xlint:all,-try,-processing", "-Werror", "-cp", f"{LIBS}/*", "-d", into]
    subprocess.run(["javac", *options, *sources], check=True)


def _archive_classes(into):
    """Stores what a tool has loaded, so that the next ones start in half the time; this one finds no broker."""
    into.mkdir()
    options = [f"-XX:ArchiveClassesAtExit={into}/classes.jsa", "-Xlog:disable"]
    consumer = "org.apache.kafka.tools.consumer.ConsoleConsumer"
    nowhere = ["--bootstrap-server", "127.0.0.1:1", "--topic", "none", "--timeout-ms", "500"]
    subprocess.run(command(consumer, *nowhere, options=options), capture_output=True, timeout=TOOL_TIMEOUT_S)


def command(main_class, *args, heap_mb=96, options=(), class_path=f"{LIBS}/*"):
    """The command line of a JVM that runs this class, from the pinned jars if nothing else is said."""
    java = ["java", f"-Xmx{heap_mb}m", *JVM_OPTIONS, *options, "-cp", class_path]
    return [*java, main_class, *[str(arg) for arg in args]]


def tool(main_class, *args, stdin="", timeout_s=TOOL_TIMEOUT_S, check=True):
    """Runs a command-line tool to its end, as its script does, and returns the completed process."""
    # An archive that does not fit the JVM is passed over, and nothing about it goes to the tool's output.
    archive = [f"-XX:SharedArchiveFile={TOOL_ARCHIVE}/classes.jsa", "-Xshare:auto", "-Xlog:disable"]
    done = subprocess.run(
        command(main_class, *args, options=archive),
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        timeout=timeout_s,
    )
    if check and done.returncode != 0:
        raise AssertionError(f"{main_class} {args} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


class Driver:
    """The JVM that runs the cases in `src`; its clients live as long as it does."""

    def __init__(self, bootstrap, log_path):
        self._log_path = log_path
        with open(log_path, "wb") as log:
            self._process = subprocess.Popen(
                command("fjord.Driver", bootstrap, heap_mb=384, class_path=f"{LIBS}/*:{CLASSES}"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                encoding="utf-8",
            )
        self._replies = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self._process.stdout:
            self._replies.put(json.loads(line))
        self._replies.put({"ok": False, "error": f"the JVM ended; its log is {self._log_path}"})

    @property
    def alive(self):
        return self._process.poll() is None

    def run(self, case, timeout_s=CASE_TIMEOUT_S, **args):
        """Runs a case and returns its facts; a check that fails there fails here, with the Java stack."""
        if not self.alive:
            raise AssertionError(f"the JVM ended before {case}; its log is {self._log_path}")
        self._process.stdin.write(json.dumps({"case": case, "args": args}) + "\n")
        self._process.stdin.flush()
        try:
            reply = self._replies.get(timeout=timeout_s)
        except queue.Empty:
            # Its answer might be taken for that of the next case, so the JVM does not outlive this one.
            self.close()
            raise AssertionError(f"{case} did not end within {timeout_s} s") from None
        if not reply["ok"]:
            raise AssertionError(f"{case}: {reply['error']}")
        return reply["result"]

    def close(self):
        self._process.kill()
        self._process.wait()
