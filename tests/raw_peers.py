"""Plain TCP connections that speak as NNG's peers do."""

import socket
import struct

__all__ = ["exactly", "frame", "greet", "hangs_up"]


def exactly(sock: socket.socket, size: int) -> bytes:
    """So many bytes, or fewer if the peer hangs up."""
    data = b""
    while len(data) < size and (more := sock.recv(size - len(data))):
        data += more
    return data


def greet(sock: socket.socket, protocol: int) -> None:
    """Shake hands as a peer over TCP with this protocol."""
    sock.settimeout(10)
    sock.sendall(b"\0SP\0" + struct.pack("!HH", protocol, 0))
    assert exactly(sock, 8)[:4] == b"\0SP\0"


def frame(data: bytes) -> bytes:
    """A message as it is on TCP."""
    return struct.pack("!Q", len(data)) + data


def hangs_up(sock: socket.socket) -> bool:
    """Whether the peer closes the connection, whatever it may send before."""
    sock.settimeout(10)
    try:
        while sock.recv(65536):
            pass
    except TimeoutError:
        return False
    except ConnectionResetError:
        pass
    return True
