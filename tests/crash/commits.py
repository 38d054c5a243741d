"""A group that reads and commits all the time, and what it was told about its commits."""

import threading

from confluent_kafka import Consumer, KafkaException, TopicPartition

_TIMEOUT_S = 30
_COMMIT_EVERY = 100


class Committer:
    """A thread that reads a topic in a group of one and commits after every hundred records."""

    def __init__(self, bootstrap: str, topic: str, partitions: int, group: str = "committer"):
        self.topic, self.partitions, self.group = topic, partitions, group
        self.bootstrap = bootstrap
        self._lock = threading.Lock()
        self._acknowledged: dict[int, int] = {}
        self._finish = threading.Event()
        self._consumer = Consumer({**self._options(), "auto.offset.reset": "earliest"})
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)
        self.commits = 0

    def _options(self) -> dict:
        return {
            "bootstrap.servers": self.bootstrap,
            "group.id": self.group,
            "log_level": 2,
            "enable.auto.commit": False,
            "session.timeout.ms": 45_000,
            "heartbeat.interval.ms": 500,
            "reconnect.backoff.ms": 20,
            "reconnect.backoff.max.ms": 100,
        }

    def start(self) -> "Committer":
        """Begins to read."""
        self._consumer.subscribe([self.topic])
        self._thread.start()
        return self

    def acknowledged(self) -> dict[int, int]:
        """The greatest offset of each partition whose commit was acknowledged."""
        with self._lock:
            return dict(self._acknowledged)

    def check(self, least: dict[int, int]) -> None:
        """What the broker says is committed is not behind `least`."""
        reader = Consumer(self._options())
        places = [TopicPartition(self.topic, partition) for partition in range(self.partitions)]
        committed = {place.partition: place.offset for place in reader.committed(places, _TIMEOUT_S)}
        reader.close()
        for partition, offset in least.items():
            now = committed[partition]
            assert now >= offset, f"the commit of {self.topic}-{partition} went back from {offset} to {now}"

    def finish(self) -> None:
        """Leaves the group."""
        self._finish.set()
        self._thread.join(_TIMEOUT_S)
        self._consumer.close()

    def _run(self) -> None:
        places: dict[int, int] = {}
        read = 0
        while not self._finish.is_set():
            message = self._consumer.poll(0.1)
            if message is None or message.error():
                continue
            places[message.partition()] = message.offset() + 1
            read += 1
            if read % _COMMIT_EVERY == 0:
                self._commit(places)

    def _commit(self, places: dict[int, int]) -> None:
        offsets = [TopicPartition(self.topic, partition, offset) for partition, offset in places.items()]
        try:
            done = self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException:
            return  # The broker is down: it may have stored the commit or not.
        with self._lock:
            self.commits += 1
            for place in done:
                if not place.error:
                    self._acknowledged[place.partition] = max(place.offset, self._acknowledged.get(place.partition, 0))
