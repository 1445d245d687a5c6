"""A service over websockets, and a page about its health on the same port."""

import urllib.request

import nngio
from nngio import http


def main() -> None:
    served = 0
    with nngio.Rep0(listen="ws://127.0.0.1:0/service") as rep:
        port = rep.listeners[0].port

        def health(_: http.Request) -> str:
            return f"{served} requests served\n"

        with http.Server(f"http://127.0.0.1:{port}", http.Handler("/health", health)) as server:
            server.start()
            with nngio.Req0(dial=f"ws://127.0.0.1:{port}/service", recv_timeout=5) as req:
                for text in (b"one", b"two"):
                    req.send(text)
                    rep.send(rep.recv(timeout=5).upper())
                    served += 1
                    print(req.recv().decode())
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as page:
                print(page.read().decode(), end="")


if __name__ == "__main__":
    main()
