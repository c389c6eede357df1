"""The ops listener: the health door once more, on loopback and on threads of
its own.

When every thread of the main port is busy this one still answers, and says so.
It is for diagnosis: that the main port does not answer is the truth which
monitors should see. waitress reads whole requests before it gives them a
thread, so slow clients hold none.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Any

import structlog
from waitress import wasyncore  # type: ignore[import-untyped]
from waitress.server import create_server  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_log = structlog.get_logger(__name__)

HOST = "127.0.0.1"
_THREADS = 4
_MAX_CONNECTIONS = 500
_SILENT_SECONDS = 5
_LOOK_SECONDS = 2
_MAX_HEADER_BYTES = 64 * 1024
_TRY_AGAIN_SECONDS = 5.0
_GOODBYE_SECONDS = 1.0


class OpsListener:
    """Serves `application` on a loopback port; a port that is taken is tried
    again, and nothing else fails for it.
    """

    def __init__(self, application: WSGIApplication, port: int) -> None:
        self._application, self._port = application, port
        self._stopped = threading.Event()
        self._server: Any = None
        self._sockets: dict[int, Any] = {}
        self._thread = threading.Thread(
            target=self._serve_for_ever, name="ops-listener", daemon=True
        )
        self.trouble: str | None = None

    def start(self) -> None:
        """Listen, in the process that serves."""
        self._thread.start()

    def close(self) -> None:
        """Stop listening. An answer that is under way may be lost: the process
        is about to end.
        """
        self._stopped.set()
        if self._server is not None:
            # The sockets belong to the serving thread: closed from another one
            # they would be awaited all the same.
            with contextlib.suppress(OSError):
                self._server.trigger.pull_trigger(lambda: wasyncore.close_all(self._sockets))
        self._thread.join(_GOODBYE_SECONDS)

    def state(self) -> str:
        """listening · unavailable · starting: for who shows how the machinery
        does.
        """
        if self.trouble is not None:
            return "unavailable"
        return "listening" if self._server is not None else "starting"

    def _serve_for_ever(self) -> None:
        while not self._stopped.is_set():
            try:
                self._serve()
            except OSError as refused:
                if self.trouble is None:
                    _log.warning("ops_listener_unavailable", port=self._port, reason=str(refused))
                self.trouble = refused.strerror or str(refused)
                self._stopped.wait(_TRY_AGAIN_SECONDS)
            except Exception:  # noqa: BLE001  the thread's edge: the main port answers health as well
                _log.exception("ops_listener_failed", port=self._port)
                self._stopped.wait(_TRY_AGAIN_SECONDS)

    def _serve(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
            listener.setsockopt(
                socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
            )  # so that a restart gets it at once
            listener.bind((HOST, self._port))
            self._server = create_server(
                self._application,
                map=self._sockets,
                sockets=[listener],
                threads=_THREADS,
                connection_limit=_MAX_CONNECTIONS,
                channel_timeout=_SILENT_SECONDS,
                cleanup_interval=_LOOK_SECONDS,
                max_request_header_size=_MAX_HEADER_BYTES,
                max_request_body_size=0,
                asyncore_use_poll=True,
                clear_untrusted_proxy_headers=True,
                ident=None,
            )
            self.trouble = None
            if (
                self._stopped.is_set()
            ):  # since before there was a server that `close` could have woken
                wasyncore.close_all(self._sockets)
            try:
                self._server.run()
            finally:
                self._server.task_dispatcher.shutdown(cancel_pending=True, timeout=_GOODBYE_SECONDS)
                self._server = None
