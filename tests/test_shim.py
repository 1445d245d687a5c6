"""The C between Python and NNG is right by itself: its own tests, in tests/c, each a program."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent / "c"
PROGRAMS = sorted(file.stem for file in HERE.glob("test_*.c"))


@pytest.fixture(scope="module")
def binaries(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The programs, compiled, by name."""
    folder = tmp_path_factory.mktemp("c")
    done = subprocess.run([sys.executable, str(HERE / "build.py"), str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {Path(line).name: Path(line) for line in done.stdout.split()}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("program", PROGRAMS)
def test_the_c_tests_pass(program: str, binaries: dict[str, Path]) -> None:
    """The program checks what it says, some of it thousands of times, and ends with exit code 0."""
    # One that hangs says so itself, before pytest ends it.
    environment = {"NNGIO_C_PERCENT": "30", "NNGIO_C_SECONDS": "100", **os.environ}
    done = subprocess.run([binaries[program]], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
