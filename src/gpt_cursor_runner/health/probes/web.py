"""Does Flask answer?"""

from __future__ import annotations

from collections.abc import Callable

from gpt_cursor_runner.health.monitor.model import Criticality, ProbeSpec, Reading, Status
from gpt_cursor_runner.health.probes.self_call import PULSE, Found, SelfCall


class WebProbe:
    """Reads the gateway's call to itself for how it was answered, and why it
    was not.

    `busy` is how many requests are inside at this moment; from `threads` on,
    nobody is left to answer another.
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

    def __init__(self, self_call: SelfCall, busy: Callable[[], int], threads: int) -> None:
        self._self_call = self_call
        self._busy, self._threads = busy, threads

    def read(self) -> Reading:
        """Well when our own application said 200."""
        answer, busy = self._self_call.answer(), self._busy()
        data = {
            "http_status": answer.http_status,
            "round_trip_ms": round(answer.seconds * 1000, 1),
            "busy": busy,
        }
        if answer.found is Found.SILENCE and busy >= self._threads:
            message = f"all {self._threads} threads are busy; requests wait until one is free"
            return Reading(
                Status.FAIL,
                "web_saturated",
                message,
                data,
                "See the gateway's log for slow requests.",
                True,
            )
        if answer.found is not Found.OURS:
            return Reading(
                Status.FAIL,
                "not_reached",
                "our own application did not answer the call to itself",
                data,
            )
        if answer.http_status != 200:
            return Reading(
                Status.FAIL, "bad_status", f"{PULSE} answered {answer.http_status}", data
            )
        return Reading(Status.OK, "responsive", data=data)

    def close(self) -> None:
        """Nothing is held between two looks."""
