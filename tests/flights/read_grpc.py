"""Reads a topic through gRPC from its start to its end, and prints the records as `check.py` takes them.

`read_grpc.py HOST:PORT TOPIC PARTITIONS`
"""

import sys
from pathlib import Path

import grpc

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.protos import pb

CONNECT_TIMEOUT_S = 30


def main(address: str, topic: str, partitions: int) -> None:
    with grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", 64 << 20)]) as channel:
        grpc.channel_ready_future(channel).result(CONNECT_TIMEOUT_S)
        asked = [pb.FetchPartition(topic=topic, partition=partition) for partition in range(partitions)]
        for response in pb.FetchServiceStub(channel).Fetch(pb.FetchRequest(partitions=asked, until_end=True)):
            for part in response.partitions:
                if part.HasField("error"):
                    sys.exit(f"partition {part.partition}: {part.error.message}")
                for record in part.records:
                    size = len(record.key) if record.HasField("key") else -1
                    key, value = record.key.decode(), record.value.decode()
                    sys.stdout.write(f"{part.partition} {record.offset} {size} {key}\t{value}\n")


if __name__ == "__main__":
    try:
        main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    except grpc.FutureTimeoutError:
        sys.exit(f"no gRPC listener answers at {sys.argv[1]}")
    except grpc.RpcError as failed:
        sys.exit(f"{failed.code().name}: {failed.details()}")
