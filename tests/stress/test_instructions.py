"""What an operation costs, in instructions: a test of speed that other load doesn't disturb.

What is counted, and how it is compared, is in benchmarks/instructions.py.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
if not (ROOT / "benchmarks").exists():
    pytest.skip("the benchmarks are only in a checkout", allow_module_level=True)
if os.environ.get("NNGIO_SANITIZED"):
    pytest.skip("valgrind can't run a program with a sanitizer in it", allow_module_level=True)

sys.path.append(str(ROOT))
from benchmarks import instructions  # noqa: E402
from benchmarks.instructions import TOLERANCE, Cost  # noqa: E402


@pytest.mark.timeout(180)
def test_no_operation_takes_a_tenth_more_instructions_than_it_did() -> None:
    """Each is at most 10 % above the baseline for this Python and this NNG."""
    known = instructions.baselines()
    assert instructions.key() in known, f"no baseline for {instructions.key()}: python -m benchmarks.instructions --update"
    try:
        ratios = instructions.compare(instructions.count(), known[instructions.key()])
    except instructions.CountError as error:
        pytest.fail(str(error))
    assert all(ratio <= 1 + TOLERANCE for ratio in ratios.values()), (
        "times the baseline: "
        + ", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items())
        + "; if it is worth it: python -m benchmarks.instructions --update"
    )


def test_a_slower_build_of_the_same_python_is_no_slower_nngio() -> None:
    """What the interpreter takes is scaled by what it takes for other code; what the extension takes is not."""
    baseline = {"reference": {"python": 1000.0, "native": 0.0}, "sync send": {"python": 600.0, "native": 400.0}}
    slow = {"reference": Cost(2000, 0), "sync send": Cost(1200, 400)}
    assert instructions.compare(slow, baseline) == {"sync send": 1.0}
    assert instructions.compare({**slow, "sync send": Cost(1200, 600)}, baseline) == {"sync send": 1.125}


def test_costs_are_told_apart_by_where_the_code_is() -> None:
    """Callgrind's file names an object once and its number from then on; a call's cost is not counted twice."""
    dump = [
        "ob=(1) /usr/lib/libpython3.11.so.1.0",
        "fn=(7) eval",
        "10 100",
        "+3 20",
        "cob=(2) /somewhere/_nng.abi3.so",
        "cfn=(8) nngio_send",
        "calls=1 5",
        "* 5000",
        "ob=(2)",
        "fn=(8)",
        "5 70",
        "ob=(1)",
        "12 3",
    ]
    assert list(instructions.costs_by_object(dump)) == [
        ("/usr/lib/libpython3.11.so.1.0", 100),
        ("/usr/lib/libpython3.11.so.1.0", 20),
        ("/somewhere/_nng.abi3.so", 70),
        ("/usr/lib/libpython3.11.so.1.0", 3),
    ]
