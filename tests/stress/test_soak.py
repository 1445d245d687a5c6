"""The soak, in short: tools/soak.py for `NNGIO_SOAK_SECONDS`, 30 unless set; and what it takes for growth."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools"
SECONDS = float(os.environ.get("NNGIO_SOAK_SECONDS", "30"))

pytestmark = pytest.mark.timeout(SECONDS * 3 + 600)

sys.path.append(str(TOOLS))
from soak import TOLERATED, growth, stayed  # noqa: E402

MALLOC = TOLERATED["malloc"]


def test_a_soak_grows_stalls_and_loses_nothing() -> None:
    """All processes, activities and transports; what it prints tells what failed."""
    program = [sys.executable, str(TOOLS / "soak.py"), "--seconds", str(SECONDS)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as soak:
        assert soak.stdout is not None
        printed = soak.stdout.read()
    assert soak.returncode == 0, printed
    assert "soak: passed" in printed


def test_a_leak_is_growth() -> None:
    """One that is small beside the noise of each lap, but always there."""
    noise = random.Random(1)
    leaking = [10_000_000 + 60_000 * lap + noise.uniform(-40_000, 40_000) for lap in range(15)]
    assert growth(leaking, MALLOC) > 500_000


def test_one_descriptor_that_stays_is_growth() -> None:
    """Not one that is closed late in some laps, nor what is opened during the warm-up."""
    assert stayed([51] * 8 + [52] * 7) == 1
    assert not stayed([51, 51, 53, 51, 51, 52, 51, 51, 51, 54, 52, 51, 52, 51, 52])
    assert not stayed([49] * 4 + [51] * 11)


def test_noise_is_no_growth() -> None:
    """However large it is."""
    for seed in range(300):
        noise = random.Random(seed)
        assert not growth([10_000_000 + noise.gauss(0, 2_000_000) for _ in range(15)], MALLOC)


def test_a_warm_up_and_a_single_step_are_no_growth() -> None:
    """Pools that fill in the beginning, one cache that is filled late, one lap that stands out."""
    assert not growth([1_000_000 * min(lap, 5) for lap in range(15)], MALLOC)
    assert not growth([5_000_000] * 13 + [5_150_000] * 2, MALLOC)
    assert not growth([5_000_000] * 10 + [9_000_000] + [5_000_000] * 4, MALLOC)
