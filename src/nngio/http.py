"""HTTP: NNG's client and server.

Python's own libraries are the better choice for HTTP by itself. NNG's server is of use beside a `ws://` listener: both answer on the same
port, since NNG has one HTTP server for each address.
"""

from nngio._http_client import Client, Connection
from nngio._http_message import Headers, Request, Response
from nngio._http_server import Handler, Server

__all__ = ["Client", "Connection", "Handler", "Headers", "Request", "Response", "Server"]
