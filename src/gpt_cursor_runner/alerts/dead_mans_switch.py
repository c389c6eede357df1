"""The dead man's switch: a signal to a service elsewhere, which raises an alarm
when the signal stops. This machine cannot report that it lost its power.

The signal is sent while the gateway accepts patches (healthy or degraded).
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from gpt_cursor_runner.health.monitor.judging import Verdict
from gpt_cursor_runner.health.monitor.model import Overall
from gpt_cursor_runner.system.http_client import RequestFailed, fetch
from gpt_cursor_runner.system.periodic import PeriodicThread

_log = structlog.get_logger(__name__)

_TIMEOUT_SECONDS = 10.0
# While no signal is sent the verdict is polled, so that the signal resumes soon
# after the gateway has recovered.
_POLL_SECONDS = 0.5
_JOIN_SECONDS = 0.2


class DeadMansSwitch:
    """GETs `url` every `every_seconds`. A failure is logged when it begins and
    when it ends, and has no other effect.
    """

    def __init__(self, url: str, every_seconds: float, verdict: Callable[[], Verdict]) -> None:
        self._url, self._every_seconds, self._verdict = url, every_seconds, verdict
        self._last_failure: str | None = None
        self._thread = PeriodicThread("dead-mans-switch", self._run_once, _JOIN_SECONDS)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._thread.stop()

    def ping(self) -> bool:
        """Send one signal if the gateway accepts patches; returns whether it
        does.
        """
        if self._verdict().overall not in (Overall.HEALTHY, Overall.DEGRADED):
            return False
        failure = self._send()
        if failure and failure != self._last_failure:
            _log.warning("ping_failed", reason=failure)
        elif self._last_failure and not failure:
            _log.info("ping_recovered")
        self._last_failure = failure
        return True

    def _run_once(self) -> float:
        if self.ping():
            return self._every_seconds
        return min(_POLL_SECONDS, self._every_seconds)

    def _send(self) -> str | None:
        """Returns a code when the signal failed. The code does not hold the
        address, which is a secret.
        """
        try:
            status = fetch("GET", self._url, seconds=_TIMEOUT_SECONDS).status
        except RequestFailed as error:
            return error.code
        if 200 <= status < 300:
            return None
        return f"answered_{status}"
