"""The client libraries under test and how their programs are run."""

import sys

from harness.paths import CACHE, TESTS
from harness.programs import Client

_CLIENTS = TESTS / "clients"
_PYTHON = sys.executable

CONFLUENT = Client("confluent-kafka", (_PYTHON, str(_CLIENTS / "python/confluent_client.py")))
KAFKA_PYTHON = Client(
    "kafka-python", (_PYTHON, str(_CLIENTS / "python/kafka_python_client.py")), null_headers=False, null_records=False
)
AIOKAFKA = Client("aiokafka", (_PYTHON, str(_CLIENTS / "python/aiokafka_client.py")), null_records=False)
KAFKAJS = Client("kafkajs", ("node", str(_CLIENTS / "node/client.js")), headers_by_name=True, null_headers=False)
FRANZ_GO = Client("franz-go", (str(CACHE / "bin/franz"),))
SARAMA = Client("sarama", (str(CACHE / "bin/sarama"),))
LIBRDKAFKA = Client("librdkafka", (str(CACHE / "bin/librdkafka"),))

ALL = [CONFLUENT, LIBRDKAFKA, KAFKA_PYTHON, AIOKAFKA, KAFKAJS, FRANZ_GO, SARAMA]

REFERENCE = CONFLUENT
"""Reads what the others wrote, and writes what the others read."""
