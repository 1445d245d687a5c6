"""Sockets talk to each other, on every transport."""

from collections.abc import Callable

import pytest
from conftest import TRANSPORTS

import nngio


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_request_is_answered(transport: str, address: Callable[[str], str]) -> None:
    """REQ and REP exchange a request and a reply over every transport."""
    with nngio.Rep0(listen=address(transport)) as rep, nngio.Req0(dial=rep.listeners[0].url) as req:
        req.send(b"question")
        assert rep.recv() == b"question"
        rep.send(b"answer")
        assert req.recv() == b"answer"
