"""The build steps that pyproject.toml has no words for; all of them are in build_ffi.py."""

import sys
from pathlib import Path

from setuptools import Extension, setup

sys.path.insert(0, str(Path(__file__).resolve().parent))
from build_ffi import ABI3, ABI3_TAG, MODULE, Build, BuildNng, SourceError, prepare

try:
    prepare()  # before setup() looks for licences
    setup(
        ext_modules=[Extension(MODULE, sources=[], py_limited_api=ABI3)],
        cmdclass={"build": Build, "build_ext": BuildNng},
        options={"bdist_wheel": {"py_limited_api": ABI3_TAG}} if ABI3 else {},
    )
except SourceError as error:
    sys.exit(f"nngio: {error}")
