"""A send that fails gives the message back, to be sent once more: here on another socket.

The first service is down, so nothing takes the request and the send times out. The aio then has the very same message
again, which goes to the second service. Nothing is copied and nothing is lost.
"""

import threading

import nngio


def serve(rep: nngio.Rep0) -> None:
    """The second service, which is up."""
    for request in rep:
        rep.send(b"the backup has " + request)


def main() -> None:
    with (
        nngio.Rep0(listen="tcp://127.0.0.1:0") as rep,
        nngio.Req0(dial="tcp://127.0.0.1:1", block=False) as primary,  # nobody listens there
        nngio.Req0(dial=rep.listeners[0].url) as backup,
    ):
        server = threading.Thread(target=serve, args=(rep,))
        server.start()

        message = nngio.Message(b"an order for tea")
        aio = nngio.Aio()
        aio.set_msg(message)
        aio.set_timeout(0.2)
        with primary.context() as context:
            context.send_aio(aio)  # the message is NNG's now
            aio.wait()
        print("primary:", nngio.NNGError.from_code(aio.result()))
        assert aio.get_msg() is message  # and is ours again

        with backup.context() as context:
            aio.set_timeout(5)
            context.send_aio(aio)
            aio.wait()
            aio.check()  # raises what went wrong, if anything did
            context.recv_aio(aio)
            aio.wait()
            aio.check()
            reply = aio.get_msg()
            assert reply is not None
            print("backup:", bytes(reply).decode())

        # The synchronous calls do the same; there the error has the message.
        try:
            primary.send(b"an order for coffee", timeout=0.2)
        except nngio.TimedOut as error:
            order = error.message or b""  # never b"" here: an error of a send always has its message
            print("backup:", backup.request(order, timeout=5).decode())
    server.join()


if __name__ == "__main__":
    main()
