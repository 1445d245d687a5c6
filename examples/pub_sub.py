"""Publish and subscribe: one sends, and whoever has subscribed to the topic receives.

A publisher waits for nobody: what is sent before a subscriber has connected, that subscriber never sees. So this one goes on
until both have what they wanted.
"""

import threading
import time

import nngio


def follow(url: str, topic: str, count: int) -> None:
    """Print so many messages that begin with `topic`."""
    with nngio.Sub0(subscribe=topic, dial=url, recv_timeout=5) as sub:
        for _ in range(count):
            print(f"{topic} subscriber: {sub.recv().decode()}")


def main() -> None:
    with nngio.Pub0(listen="tcp://127.0.0.1:0") as pub:
        url = pub.listeners[0].url
        subscribers = [threading.Thread(target=follow, args=(url, topic, 2)) for topic in ("weather", "traffic")]
        for thread in subscribers:
            thread.start()
        degrees = 18
        while any(thread.is_alive() for thread in subscribers):
            pub.send(f"weather: {degrees} degrees".encode())
            pub.send(b"traffic: all clear")
            pub.send(b"sport: nobody is interested")
            degrees += 1
            time.sleep(0.02)
        for thread in subscribers:
            thread.join()


if __name__ == "__main__":
    main()
