"""The dead man's switch: a sign of life to somebody elsewhere, who alone can
notice that this machine lost power.

It is given while the gateway takes patches (healthy or degraded), and withheld
otherwise.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from gpt_cursor_runner.health.monitor.judging import Verdict
from gpt_cursor_runner.health.monitor.model import Overall
from gpt_cursor_runner.system.http_client import RequestFailed, fetch
from gpt_cursor_runner.system.periodic import PeriodicThread

_log = structlog.get_logger(__name__)

_CALL_SECONDS = 10.0
_GLANCE_SECONDS = 0.5
_JOIN_SECONDS = 0.2


class DeadMansSwitch:
    """GETs `url` every `every_seconds`. Whether it arrives is logged when that
    changes, and matters to nothing else.
    """

    def __init__(self, url: str, every_seconds: float, verdict: Callable[[], Verdict]) -> None:
        self._url, self._every_seconds, self._verdict = url, every_seconds, verdict
        self._last_trouble: str | None = None
        self._rounds = PeriodicThread("pinger", self._turn, _JOIN_SECONDS)

    def start(self) -> None:
        self._rounds.start()

    def stop(self) -> None:
        self._rounds.stop()

    def ping(self) -> bool:
        """One sign of life, when there is life to sign; says whether it was
        tried.
        """
        if self._verdict().overall not in (Overall.HEALTHY, Overall.DEGRADED):
            return False
        trouble = self._trouble()
        if trouble != self._last_trouble:
            if trouble:
                _log.warning("ping_failed", reason=trouble)
            else:
                _log.info("ping_arrives_again")
        self._last_trouble = trouble
        return True

    def _turn(self) -> float:
        return self._every_seconds if self.ping() else min(_GLANCE_SECONDS, self._every_seconds)

    def _trouble(self) -> str | None:
        """The address is a secret of its service, so only a code is told."""
        try:
            status = fetch("GET", self._url, seconds=_CALL_SECONDS).status
        except RequestFailed as error:
            return error.code
        return None if 200 <= status < 300 else f"answered_{status}"
