"""How the documentation is built; `make docs` does it, with warnings as errors."""

# Sphinx passes its hooks more than they need:
# ruff: noqa: ARG001

from __future__ import annotations

from typing import Any

import nngio
from nngio._options import Option

project = "nngio"
author = "nngio contributors"
release = version = nngio.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns: list[str] = []
html_theme = "furo"
html_title = f"nngio {version}"
html_show_copyright = False

myst_enable_extensions = ["deflist", "fieldlist"]
myst_heading_anchors = 3

# In a docstring, single backticks are a link where they name something of ours, and code where they don't.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
add_module_names = False
python_use_unqualified_type_names = True


def describe_option(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Give an option's text its type, and say whether it can be set."""
    if isinstance(obj, Option):
        lines[:] = [f"*{obj.kind}{', can only be read' if obj.readonly else ''}*: {' '.join(lines)}"]


def short_signature(
    app: Any, what: str, name: str, obj: Any, options: Any, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """Leave out the arguments of exceptions: all have those of `NNGError`."""
    return ("", None) if what == "exception" and obj is not nngio.NNGError else (signature, returns)


def public_bases(app: Any, name: str, obj: Any, options: Any, bases: list[Any]) -> None:
    """Show the bases that a user can name, by the names that a user has for them."""
    public = [base for base in obj.__mro__[1:] if getattr(nngio, base.__name__, None) is base]
    ours = [base for base in public if not any(issubclass(other, base) and other is not base for other in public)]
    builtin = [base for base in obj.__bases__ if base.__module__ == "builtins" and base is not object]
    names = [*(f"~nngio.{base.__name__}" for base in ours), *(base.__name__ for base in builtin)]
    bases[:] = [f":py:class:`{name}`" for name in names]


def setup(app: Any) -> None:
    app.connect("autodoc-process-docstring", describe_option)
    app.connect("autodoc-process-signature", short_signature)
    app.connect("autodoc-process-bases", public_bases)
