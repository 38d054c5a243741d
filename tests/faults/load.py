"""The clients of these tests, each a process of its own: those of `harness.load.client`, and one that streams over gRPC."""

import sys

from harness.load.client import KINDS, main

from .grpc_producer import stream

if __name__ == "__main__":
    main({**KINDS, "stream": stream}, *sys.argv[1:])
