"""Serving the application with granian: one worker, because one monitor and one
writer are the truth of a gateway.

Sixty-four threads and forty-eight permits keep health answering while webhooks
saturate; five seconds for a header end a slow sender; the worker follows its
parent, which granian itself does not do when the parent is killed.
"""

from __future__ import annotations

import errno
import socket
from typing import Any

import psutil
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server import Server

BLOCKING_THREADS = 64
_HEADER_READ_MILLISECONDS = 5000
_KILL_AFTER_SECONDS = 15
_LOGGERS = {
    name: {"level": "WARNING", "handlers": [], "propagate": True}
    for name in ("_granian", "granian.access")
}


class PortTaken(Exception):
    """Somebody else listens there; the message says who, where the system tells."""


def serve(target: str, host: str, port: int) -> None:
    """Serve until SIGTERM. `target` names a factory, called in the worker;
    raise PortTaken when somebody listens.
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
    """Raise PortTaken when a server has the port: granian shares ports, and so
    would not notice by itself.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as refused:
            if refused.errno != errno.EADDRINUSE:
                raise PortTaken(f"cannot listen on {host}:{port}: {refused.strerror}") from refused
            raise PortTaken(f"port {port} is taken by {_holder(port)}") from refused


def _holder(port: int) -> str:
    try:
        holders = (one.pid for one in psutil.net_connections("tcp") if _listens(one, port))
        process = psutil.Process(next(pid for pid in holders if pid))
        return f"pid {process.pid}: {' '.join(process.cmdline())[:200]}"
    except (psutil.Error, StopIteration, OSError):
        return "another process (the system does not say which)"


def _listens(connection: Any, port: int) -> bool:  # noqa: ANN401  psutil's own named tuple
    return (
        connection.status == psutil.CONN_LISTEN
        and bool(connection.laddr)
        and connection.laddr.port == port
    )
