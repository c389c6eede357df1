"""Checks that Flask answers requests."""

from __future__ import annotations

from collections.abc import Callable

from gpt_cursor_runner.health.monitor.codes import Code, CodeTable
from gpt_cursor_runner.health.monitor.model import CheckStatus, Criticality, ProbeSpec, Reading
from gpt_cursor_runner.health.probes.self_call import PULSE, Listener, SelfCall


class WebProbe:
    """Reads the gateway's call to itself for the answer of Flask.

    `busy` returns the number of requests in flight; from `threads` on, no thread
    is left for another.
    """

    spec = ProbeSpec(
        "web",
        "flask_responsive",
        Criticality.CRITICAL,
        interval_seconds=1.0,
        deadline_seconds=3.0,
        grace_seconds=10.0,
        caused_by=("port",),
    )
    codes = CodeTable(
        responsive=Code(CheckStatus.OK),
        web_saturated=Code(CheckStatus.FAIL, "See the gateway's log for slow requests.", fact=True),
        not_reached=Code(CheckStatus.FAIL),
        bad_status=Code(CheckStatus.FAIL),
    )

    def __init__(self, self_call: SelfCall, busy: Callable[[], int], threads: int) -> None:
        self._self_call = self_call
        self._busy = busy
        self._threads = threads

    def read(self) -> Reading:
        result = self._self_call.result()
        busy = self._busy()
        data = {
            "http_status": result.http_status,
            "round_trip_ms": round(result.seconds * 1000, 1),
            "busy": busy,
        }
        # Full threads are counted in this process, so that no second run has to
        # confirm them; silence alone may be a busy machine.
        if result.listener is Listener.SILENT and busy >= self._threads:
            message = f"all {self._threads} threads are busy; further requests wait"
            return self.codes.reading("web_saturated", message, data)
        if result.listener is not Listener.OURS:
            message = "the gateway did not answer its call to itself"
            return self.codes.reading("not_reached", message, data)
        if result.http_status != 200:
            message = f"{PULSE} returned {result.http_status}"
            return self.codes.reading("bad_status", message, data)
        return self.codes.reading("responsive", data=data)
