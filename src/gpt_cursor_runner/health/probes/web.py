"""Does Flask answer?"""

from __future__ import annotations

from gpt_cursor_runner.health.model import Criticality, Reading, Status, Terms
from gpt_cursor_runner.health.self_call import Found, SelfCall


class WebProbe:
    """Reads the gateway's call to itself for how it was answered."""

    terms = Terms(
        "web",
        "flask_responsive",
        Criticality.CRITICAL,
        interval_seconds=1.0,
        deadline_seconds=3.0,
        grace_seconds=10.0,
        caused_by=("port",),
    )

    def __init__(self, self_call: SelfCall) -> None:
        self._self_call = self_call

    def read(self) -> Reading:
        """Well when our own application said 200."""
        answer = self._self_call.answer()
        data = {"http_status": answer.http_status, "round_trip_ms": round(answer.seconds * 1000, 1)}
        if answer.found is not Found.OURS:
            return Reading(Status.FAIL, "not_reached", "our own application did not answer the call to itself", data)
        if answer.http_status != 200:
            return Reading(Status.FAIL, "bad_status", f"/livez answered {answer.http_status}", data)
        return Reading(Status.OK, "responsive", data=data)

    def close(self) -> None:
        """Nothing is held between two looks."""
