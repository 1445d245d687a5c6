"""Event loops: what the library knows of each of them, one module for one loop's library.

`_asyncio`  asyncio, and what keeps to its interface, such as uvloop
`_trio`     trio, alone or as another loop's guest

Each has an adapter on top of `_core/adapter.py`, where the contract is. None is imported before `_core/loops.py` finds that
loop running, and none touches C.
"""
