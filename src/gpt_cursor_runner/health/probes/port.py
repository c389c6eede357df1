"""Checks that the port is bound, and bound by this gateway."""

from __future__ import annotations

from gpt_cursor_runner.health.monitor.codes import Code, CodeTable
from gpt_cursor_runner.health.monitor.model import CheckStatus, Criticality, ProbeSpec, Reading
from gpt_cursor_runner.health.probes.self_call import Listener, SelfCall

_STOP_THE_OTHER = "Run `gcr doctor` to see the other program; stop it, or choose another port."
_LOG = "See the gateway's log."


class PortProbe:
    """Reads the gateway's call to itself for the owner of the port."""

    spec = ProbeSpec(
        "port",
        "port_bound",
        Criticality.CRITICAL,
        interval_seconds=1.0,
        deadline_seconds=3.0,
        grace_seconds=10.0,
    )
    # No answer may be a busy machine. A refused connection and the answer of
    # another program are facts.
    codes = CodeTable(
        ours=Code(CheckStatus.OK),
        port_foreign=Code(CheckStatus.FAIL, _STOP_THE_OTHER, fact=True),
        not_bound=Code(CheckStatus.FAIL, _LOG, fact=True),
        no_answer=Code(CheckStatus.FAIL, _LOG),
    )

    def __init__(self, self_call: SelfCall) -> None:
        self._self_call = self_call

    def read(self) -> Reading:
        result = self._self_call.result()
        address = self._self_call.address
        data = {"address": address}
        if result.listener is Listener.OURS:
            return self.codes.reading("ours", f"this gateway answers on {address}", data)
        if result.listener is Listener.FOREIGN:
            return self.codes.reading("port_foreign", f"another program answers on {address}", data)
        if result.listener is Listener.ABSENT:
            return self.codes.reading("not_bound", f"nothing listens on {address}", data)
        message = f"no complete answer from {address}: {result.error}"
        return self.codes.reading("no_answer", message, data)
