"""What is measured. Each scenario is a function of (library, case, side) that runs it for ever or gives the figures.

- `sync.py`: with calls that wait, on two threads or in two processes.
- `asynchronous.py`: with calls that are awaited, in one loop, two threads with a loop each, or two processes.
- `costs.py`: import time, and memory for a pending operation.
"""
