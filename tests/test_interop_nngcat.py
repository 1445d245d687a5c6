"""Every protocol talks to `nngcat`, NNG's own tool, on either side of the protocol and of the connection."""

from pathlib import Path

import nngio
import pytest
from peers import KIB, MIB, body, converse

TRANSPORTS = ("tcp", "ipc", "ws")
PROTOCOLS = ("req", "rep", "pub", "sub", "push", "pull", "surveyor", "respondent", "pair0", "pair1", "bus")
SIZES = (0, 1, 64 * KIB, 16 * MIB)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """What nngcat sends: a file of each size."""
    directory = tmp_path_factory.mktemp("nngcat")
    paths = {size: directory / str(size) for size in SIZES}
    for size, path in paths.items():
        path.write_bytes(body(size, "theirs"))
    return paths


@pytest.mark.parametrize("listens", [True, False], ids=["nngcat-listens", "nngcat-dials"])
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_nngcat_and_a_socket_exchange_bodies_of_all_sizes(
    protocol: str, transport: str, listens: bool, files: dict[int, Path], tmp_path: Path
) -> None:
    """What either side sends, of 0 B, 1 B, 64 KiB or 16 MiB, arrives at the other byte for byte."""
    data = [(body(size, "ours"), body(size, "theirs"), ("--file", str(path))) for size, path in files.items()]
    converse("nngcat", protocol, transport, tmp_path, data, listens=listens)
