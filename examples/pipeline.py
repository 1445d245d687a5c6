"""Pipeline: each task goes to a worker that can take it, and the results come together.

A task that no worker can take yet waits in `send`, so the producer never runs far ahead of the workers.
"""

import contextlib
import threading

import nngio

TASKS_URL = "inproc://tasks"
RESULTS_URL = "inproc://results"
TASKS = 12
WORKERS = 3


def work(name: str, tasks: nngio.Pull0, results: nngio.Push0) -> None:
    """Square the numbers that come in, until the socket is closed."""
    for task in tasks:
        number = int(task)
        results.send(f"{name}: {number} squared is {number * number}".encode())


def main() -> None:
    workers = []
    with contextlib.ExitStack() as stack:
        tasks = stack.enter_context(nngio.Push0(listen=TASKS_URL, send_timeout=5))
        results = stack.enter_context(nngio.Pull0(listen=RESULTS_URL, recv_timeout=5))
        for i in range(WORKERS):
            pull = stack.enter_context(nngio.Pull0(dial=TASKS_URL))
            push = stack.enter_context(nngio.Push0(dial=RESULTS_URL))
            worker = threading.Thread(target=work, args=(f"worker {i + 1}", pull, push))
            worker.start()
            workers.append(worker)
        for number in range(TASKS):
            tasks.send(str(number).encode())
        for _ in range(TASKS):
            print(results.recv().decode())
    # The sockets are closed now, which ends the workers' loops.
    for worker in workers:
        worker.join()


if __name__ == "__main__":
    main()
