"""The compiled module: all of NNG as cffi sees it, and nngio's own C. For users: `nngio.lowlevel`."""

from typing import Any

ffi: Any
lib: Any
