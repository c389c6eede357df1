"""Is the port bound, and bound by this very gateway?"""

from __future__ import annotations

from gpt_cursor_runner.health.monitor.model import Criticality, ProbeSpec, Reading, Status
from gpt_cursor_runner.health.probes.self_call import Answer, Found, SelfCall

_WHO = "See who listens there (`gcr doctor`), stop it or choose another port."
_LOG = "See the gateway's log."


class PortProbe:
    """Reads the gateway's call to itself for whose the port is."""

    spec = ProbeSpec(
        "port",
        "port_bound",
        Criticality.CRITICAL,
        interval_seconds=1.0,
        deadline_seconds=3.0,
        grace_seconds=10.0,
    )

    def __init__(self, self_call: SelfCall) -> None:
        self._self_call = self_call

    def read(self) -> Reading:
        """Ours, another's, nobody's, or no answer."""
        return _reading(self._self_call.answer(), self._self_call.address)

    def close(self) -> None:
        """Nothing is held between two looks."""


def _reading(answer: Answer, address: str) -> Reading:
    data = {"address": address}
    if answer.found is Found.OURS:
        return Reading(Status.OK, "ours", f"{address} answers as this gateway", data)
    if answer.found is Found.FOREIGN:
        return Reading(
            Status.FAIL,
            "port_foreign",
            f"another program answers on {address}",
            data,
            remedy=_WHO,
            fact=True,
        )
    if answer.found is Found.NOBODY:
        return Reading(
            Status.FAIL, "not_bound", f"nobody listens on {address}", data, remedy=_LOG, fact=True
        )
    message = f"{address} gave no whole answer: {answer.trouble}"
    return Reading(Status.FAIL, "no_answer", message, data, remedy=_LOG)
