"""What every noun stands on: the library's life, operations, callbacks, errors. No socket, and no particular event loop.

`library`    the compiled module, fork and exit
`errors`     NNG's codes as exceptions
`duration`   seconds to NNG's milliseconds
`operation`  synchronous calls: submit, wait, and lose nothing when interrupted
`callbacks`  the thread that runs users' callbacks
`adapter`    awaitable calls: what resumes a task, on any event loop
`loops`      which event loop runs
"""
