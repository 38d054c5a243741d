"""A bad network in front of a broker: connections that break while requests or answers are on their way."""

import socket
import threading
from collections.abc import Sequence
from contextlib import suppress

CHUNK_BYTES = 4096
LOST_BYTES = 30
"""So much of the broker's answers is lost before a deaf connection breaks: more than HTTP/2 says by itself."""


class Proxy:
    """Passes bytes on, but the first connections break; how is told for each of them, in their order.

    `cut_after` breaks them after so many bytes from the broker. `deaf_after` is worse: after so many bytes from the
    client, the broker still gets the requests, but its answers are lost, and then the connection breaks.
    """

    def __init__(self, target: str, *, cut_after: Sequence[int] = (), deaf_after: Sequence[int] = ()):
        host, port = target.rsplit(":", 1)
        self._target = (host, int(port))
        self._cut_after, self._deaf_after = cut_after, deaf_after
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._links: list[_Link] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def accepted(self) -> int:
        """How many connections there were."""
        return len(self._links)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                place = len(self._links)
                limits = [each[place] if place < len(each) else None for each in (self._cut_after, self._deaf_after)]
                self._links.append(_Link(client, socket.create_connection(self._target), *limits))

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(self, *_) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for link in self._links:
            link.end()


class _Link:
    """One connection, with a thread for each direction."""

    def __init__(self, client: socket.socket, broker: socket.socket, cut_after: int | None, deaf_after: int | None):
        self._client, self._broker = client, broker
        self._cut_after, self._deaf_after = cut_after, deaf_after
        self._deaf = False
        for end in (client, broker):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for work in (self._pass_requests, self._pass_answers):
            threading.Thread(target=self._run, args=(work,), daemon=True).start()

    def _run(self, work) -> None:
        with suppress(OSError):
            work()
        self.end()

    def _pass_requests(self) -> None:
        passed = 0
        while data := self._client.recv(CHUNK_BYTES):
            passed += len(data)
            # Before the broker can answer to what makes it so many.
            self._deaf |= self._deaf_after is not None and passed > self._deaf_after
            self._broker.sendall(data)

    def _pass_answers(self) -> None:
        passed, lost = 0, 0
        while lost < LOST_BYTES and (data := self._broker.recv(CHUNK_BYTES)):
            if self._deaf:
                lost += len(data)
                continue
            if self._cut_after is not None and passed + len(data) > self._cut_after:
                self._client.sendall(data[: self._cut_after - passed])
                return
            self._client.sendall(data)
            passed += len(data)

    def end(self) -> None:
        """Breaks the connection."""
        for end in (self._client, self._broker):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
