"""NNG as `nngio.lowlevel` shows it: what this build's release lacks says so."""

from nngio._core.errors import NNGError, NotSupported
from nngio._core.library import ffi
from nngio._core.library import lib as _lib
from nngio._core.typing import Any

__all__ = ["lib", "nng_version", "patched"]


def nng_version() -> str:
    """The release of NNG that is in use, such as "1.5.2"."""
    text: bytes = ffi.string(_lib.nngio_build_nng_version) or ffi.string(_lib.nng_version())
    return text.decode()


def patched(what: str) -> bool:
    """Whether this build's NNG has the patch of ours with that name (`nng_src/patches`)."""
    text: bytes = ffi.string(_lib.nngio_build_nng_patches)
    return what in text.decode().split()


class _Lib:
    """The compiled library, with an answer for what it lacks."""

    def __getattr__(self, name: str) -> Any:
        try:
            return getattr(_lib, name)
        except AttributeError:
            raise _absent(name) from None

    def __dir__(self) -> list[str]:
        return dir(_lib)


def _absent(name: str) -> NNGError | AttributeError:
    from nngio._ffi.declarations import why_absent

    reason = why_absent(name, nng_version())
    return NotSupported(reason) if reason else AttributeError(f"NNG has no {name!r}")


lib: Any = _Lib()
