"""Raw access to NNG: `ffi`, `lib` and `check`, as the rest of nngio uses them.

Warning: C's rules hold here. A message freed twice, an aio used while it is busy or any call after a fork ends the process,
and what you do to a socket of nngio's own behind its back is undone or worse. Everything else in nngio is safe; this is not.

`lib` has every function and constant of NNG 1.5.2 to 1.12. One that this build's NNG doesn't have raises `NotSupported` when
it is taken, and says which release has it.
"""

from nngio._core.errors import check
from nngio._core.library import ffi
from nngio._core.nng import lib, nng_version

__all__ = ["check", "ffi", "lib", "nng_version"]
