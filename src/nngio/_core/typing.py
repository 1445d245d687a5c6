"""What of `typing` is needed when the program runs.

Before Python 3.13 `typing` imports `re`, `enum` and more, and takes as long as half of nngio. Where nobody has imported it yet, these
names stand for its own: enough to define classes and annotations. Type checkers see the real ones, in the stub.
"""

import sys

__all__ = [
    "TYPE_CHECKING", "Any", "ClassVar", "Final", "Generic", "Literal", "NamedTuple", "NoReturn", "Protocol", "TypeVar", "TypedDict",
    "final", "overload",
]  # fmt: skip

if sys.version_info >= (3, 13) or "typing" in sys.modules:
    from typing import (
        TYPE_CHECKING,
        Any,
        ClassVar,
        Final,
        Generic,
        Literal,
        NamedTuple,
        NoReturn,
        Protocol,
        TypedDict,
        TypeVar,
        final,
        overload,
    )  # fmt: skip
else:
    from collections import namedtuple

    TYPE_CHECKING = False

    class Any:
        """This, and the others: with an index it is itself, and as a base it does nothing."""

        def __class_getitem__(cls, item):
            return cls

        def __init_subclass__(cls, *, total=True):
            pass

    class Generic(Any):
        pass

    ClassVar = Final = Literal = NoReturn = Protocol = TypedDict = Any

    class TypeVar:
        def __new__(cls, *_constraints, **_bound):
            return Any

    def final(decorated):
        return decorated

    overload = final

    class _MakesTuples(type):
        def __new__(cls, name, bases, namespace):
            if not bases:
                return super().__new__(cls, name, bases, namespace)
            fields = namespace["__annotations__"]
            defaults = [namespace.pop(field) for field in fields if field in namespace]
            made = namedtuple(name, fields, defaults=defaults)  # noqa: PYI024
            for attribute, value in namespace.items():
                setattr(made, attribute, value)
            return made

    class NamedTuple(metaclass=_MakesTuples):
        pass
