"""Request and reply: a server that answers, a client that asks.

The two sides would be two programs; here the server is a thread, so that you can run this file as it is. Change `URL` to
tcp://0.0.0.0:5555 in the one and to the server's address in the other, and they are on two machines.
"""

import threading

import nngio

URL = "tcp://127.0.0.1:0"


def serve(rep: nngio.Rep0) -> None:
    """Answer each request; the loop ends when the socket is closed."""
    for request in rep:
        rep.send(request.upper())


def main() -> None:
    with nngio.Rep0(listen=URL) as rep:
        server = threading.Thread(target=serve, args=(rep,))
        server.start()
        with nngio.Req0(dial=rep.listeners[0].url, recv_timeout=5) as req:
            for word in (b"hello", b"world"):
                print(word.decode(), "->", req.request(word).decode())
    server.join()


if __name__ == "__main__":
    main()
