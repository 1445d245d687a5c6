"""Broker: clients and servers both dial it, and neither knows how many there are of the other.

A device forwards requests to whichever server can take them, and each reply goes back to the client that has asked.
"""

import contextlib
import threading

import nngio

CLIENTS_URL = "inproc://broker-clients"
SERVERS_URL = "inproc://broker-servers"
CLIENTS = 3
SERVERS = 2


def serve(name: str, rep: nngio.Rep0) -> None:
    """Answer until the socket is closed."""
    for request in rep:
        rep.send(request + b", says " + name.encode())


def ask(number: int) -> None:
    """Ask twice, as one of many clients."""
    with nngio.Req0(dial=CLIENTS_URL, recv_timeout=5) as req:
        for what in ("the time", "the way"):
            print(req.request(f"client {number} asks for {what}".encode()).decode())


def main() -> None:
    with contextlib.ExitStack() as stack:
        front = stack.enter_context(nngio.Rep0(raw=True, listen=CLIENTS_URL))
        back = stack.enter_context(nngio.Req0(raw=True, listen=SERVERS_URL))
        broker = stack.enter_context(nngio.Device(front, back))
        servers = []
        for i in range(SERVERS):
            rep = stack.enter_context(nngio.Rep0(dial=SERVERS_URL))
            servers.append(threading.Thread(target=serve, args=(f"server {i + 1}", rep)))
        clients = [threading.Thread(target=ask, args=(i + 1,)) for i in range(CLIENTS)]
        for thread in (*servers, *clients):
            thread.start()
        for thread in clients:
            thread.join()
        requests, replies = broker.forwarded
        print(f"the broker has forwarded {requests} requests, and about {replies} replies")
    for thread in servers:
        thread.join()


if __name__ == "__main__":
    main()
