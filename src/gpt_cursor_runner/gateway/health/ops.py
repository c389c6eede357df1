"""The ops listener: the health routes on a loopback port with threads of its
own.

It answers when every thread of the main port is busy, and reports that. It is
for diagnosis: monitors should ask the main port, whose silence is a finding.
waitress reads a request completely before it gives it a thread, so that slow
clients hold none.
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
# Answers take milliseconds. Only requests with a key can hold a thread for
# longer: reads of the history, and waits for fresh results.
_THREADS = 4
_MAX_CONNECTIONS = 500
_IDLE_SECONDS = 5
_CLEANUP_SECONDS = 2
_MAX_HEADER_BYTES = 64 * 1024
_RETRY_SECONDS = 5.0
_SHUTDOWN_SECONDS = 1.0


class OpsListener:
    """Serves `application` on a loopback port. It retries while another program
    has the port; nothing else fails because of that.
    """

    def __init__(self, application: WSGIApplication, port: int) -> None:
        self._application, self._port = application, port
        self._stopped = threading.Event()
        self._server: Any = None
        self._sockets: dict[int, Any] = {}
        # No PeriodicThread: waitress's loop blocks until it is closed.
        self._thread = threading.Thread(
            target=self._serve_until_stopped, name="ops-listener", daemon=True
        )
        self.trouble: str | None = None

    def start(self) -> None:
        """Start to listen, in the process that serves."""
        self._thread.start()

    def close(self) -> None:
        """Stop to listen. A response that is being sent may be lost: the process
        is about to end.
        """
        self._stopped.set()
        if self._server is not None:
            # The serving thread owns its sockets: when another thread closes
            # them, `run` still waits for them.
            with contextlib.suppress(OSError):
                self._server.trigger.pull_trigger(lambda: wasyncore.close_all(self._sockets))
        self._thread.join(_SHUTDOWN_SECONDS)

    def state(self) -> str:
        """listening, unavailable or starting."""
        if self.trouble is not None:
            return "unavailable"
        if self._server is None:
            return "starting"
        return "listening"

    def _serve_until_stopped(self) -> None:
        while not self._stopped.is_set():
            try:
                self._serve()
            except OSError as error:
                if self.trouble is None:
                    _log.warning("ops_listener_unavailable", port=self._port, reason=str(error))
                self.trouble = error.strerror or str(error)
                self._stopped.wait(_RETRY_SECONDS)
            except Exception:  # noqa: BLE001  the thread's edge: the main port answers health as well
                _log.exception("ops_listener_failed", port=self._port)
                self._stopped.wait(_RETRY_SECONDS)

    def _serve(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
            # Without this option a restart could not bind for a minute.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((HOST, self._port))
            # No route reads a body, and nothing depends on a proxy's headers.
            self._server = create_server(
                self._application,
                map=self._sockets,
                sockets=[listener],
                threads=_THREADS,
                connection_limit=_MAX_CONNECTIONS,
                channel_timeout=_IDLE_SECONDS,
                cleanup_interval=_CLEANUP_SECONDS,
                max_request_header_size=_MAX_HEADER_BYTES,
                max_request_body_size=0,
                asyncore_use_poll=True,
                clear_untrusted_proxy_headers=True,
                ident=None,
            )
            self.trouble = None
            # `close` may have run before there was a server to close.
            if self._stopped.is_set():
                wasyncore.close_all(self._sockets)
            try:
                self._server.run()
            finally:
                self._server.task_dispatcher.shutdown(
                    cancel_pending=True, timeout=_SHUTDOWN_SECONDS
                )
                self._server = None
