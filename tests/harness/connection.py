"""A raw connection to a Kafka listener: frames out and in, whatever is in them."""

import socket
import struct

from .messages import decode_response, encode_request

TIMEOUT_S = 30


class Closed(Exception):
    """The broker closed the connection."""


class Connection:
    """One TCP connection. Everything waits up to `TIMEOUT_S`; silence for longer is a `TimeoutError`."""

    def __init__(self, bootstrap: str, timeout_s: float = TIMEOUT_S):
        host, port = bootstrap.split(":")
        self.socket = socket.create_connection((host, int(port)), timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._correlation_id = 0

    def ask(self, name: str, version: int, body: dict) -> dict:
        """Sends a request (`Fetch`) and returns the body of its response."""
        self._correlation_id += 1
        self.send_frame(encode_request(name, version, body, self._correlation_id))
        correlation_id, answer = decode_response(name, version, self.receive_frame())
        assert correlation_id == self._correlation_id, f"the answer is to request {correlation_id}"
        return answer

    def send_frame(self, frame: bytes) -> None:
        """Sends bytes with their length in front."""
        self.send(struct.pack(">i", len(frame)) + frame)

    def send(self, data: bytes) -> None:
        """Sends bytes as they are."""
        try:
            self.socket.sendall(data)
        except (ConnectionError, BrokenPipeError) as error:
            raise Closed from error

    def receive_frame(self) -> bytes:
        """The next response without its length."""
        (size,) = struct.unpack(">i", self.receive(4))
        return self.receive(size)

    def receive(self, size: int) -> bytes:
        """Exactly so many bytes."""
        parts = []
        while size > 0:
            try:
                part = self.socket.recv(min(size, 1 << 20))
            except ConnectionError as error:
                raise Closed from error
            if not part:
                raise Closed
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def close(self) -> None:
        """Closes it."""
        self.socket.close()

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_) -> None:
        self.close()
