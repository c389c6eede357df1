"""Serving the application with granian, in one worker process: a gateway has
one monitor and one writer.
"""

from __future__ import annotations

import errno
import socket
from typing import Any

import psutil
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server import Server

# With the 48 permits of the guard, health still finds threads while webhooks
# saturate the gateway.
BLOCKING_THREADS = 64
# Ends a sender that trickles its header byte by byte.
_HEADER_READ_MILLISECONDS = 5000
_KILL_AFTER_SECONDS = 15
_HIDDEN_HOLDER = "another process (hidden by the system)"
_LOGGERS = {
    name: {"level": "WARNING", "handlers": [], "propagate": True}
    for name in ("_granian", "granian.access")
}


class PortTaken(Exception):
    """The port cannot be used; the message names the process that holds it,
    when the system reveals it.
    """


def serve(target: str, host: str, port: int) -> None:
    """Serve until SIGTERM. `target` names a factory, called in the worker;
    raise PortTaken when the port cannot be used.
    """
    refuse_taken_port(host, port)
    server = Server(
        target,
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        factory=True,
        workers=1,
        blocking_threads=BLOCKING_THREADS,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=_HEADER_READ_MILLISECONDS),
        websockets=False,
        backlog=2048,
        respawn_failed_workers=True,
        respawn_interval=0.1,
        workers_kill_timeout=_KILL_AFTER_SECONDS,
        log_dictconfig={"version": 1, "disable_existing_loggers": False, "loggers": _LOGGERS},
    )
    server.serve()


def refuse_taken_port(host: str, port: int) -> None:
    """Raise PortTaken when the port cannot be used."""
    # granian listens with SO_REUSEPORT, so it would share the port silently.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortTaken(f"port {port} is taken by {_holder(port)}") from error
            raise PortTaken(f"cannot listen on {host}:{port}: {error.strerror}") from error


def _holder(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.pid and _listens(connection, port):
                process = psutil.Process(connection.pid)
                return f"pid {process.pid}: {' '.join(process.cmdline())[:200]}"
    except (psutil.Error, OSError):
        # The list of connections, or the process behind one, may be hidden from
        # this user.
        return _HIDDEN_HOLDER
    return _HIDDEN_HOLDER


def _listens(connection: Any, port: int) -> bool:  # noqa: ANN401  psutil's own named tuple
    if connection.status != psutil.CONN_LISTEN or not connection.laddr:
        return False
    return bool(connection.laddr.port == port)
