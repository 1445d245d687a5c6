"""Servers of HTTP's by hand, for what is told of a connection by what comes on it next."""

import contextlib
import random
import socket
import threading
from typing import Self

__all__ = ["Answers"]


class Answers:
    """Answers each request with the URI that it asks for, on any number of connections; with `latest`, after some time up to that."""

    def __init__(self, latest: float = 0) -> None:
        self.latest = latest
        self.asked: list[str] = []
        """What was asked for, on all connections."""
        self.ended = threading.Semaphore(0)
        """Released once for each connection that its client has ended."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._over = threading.Event()
        self._serving: list[tuple[threading.Thread, socket.socket]] = []
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    def _accept(self) -> None:
        while True:
            peer, _ = self._listener.accept()
            if self._over.is_set():
                peer.close()
                return
            thread = threading.Thread(target=self._serve, args=(peer,))
            self._serving = [(thread, peer), *(other for other in self._serving if other[0].is_alive())]
            thread.start()

    def _serve(self, peer: socket.socket) -> None:
        with contextlib.suppress(ConnectionError), peer, peer.makefile("rb") as lines:
            while line := lines.readline():
                while lines.readline().strip():
                    pass
                uri = line.split()[1]
                self.asked.append(uri.decode())
                if self.latest:
                    self._over.wait(random.random() * self.latest)
                peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(uri), uri))
        self.ended.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._over.set()
        with socket.create_connection(self._listener.getsockname()):
            self._accepting.join()
        for thread, peer in self._serving:
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)  # what a test that failed has left open
            thread.join()
        self._listener.close()
