"""Checks that the gateway is reachable from outside: the tunnel's process, its
connections to the edge, and the public address itself.

cloudflared's own report is not enough: it counts connections to the edge and
never calls the origin behind it.
"""

from __future__ import annotations

import json
import secrets

from gpt_cursor_runner.health.monitor.codes import Code, CodeTable
from gpt_cursor_runner.health.monitor.model import CheckStatus, Criticality, ProbeSpec, Reading
from gpt_cursor_runner.health.probes.process_matchers import is_program
from gpt_cursor_runner.health.probes.processes import ProcessFinder
from gpt_cursor_runner.health.probes.self_call import PULSE
from gpt_cursor_runner.system.http_client import RequestFailed, Response, fetch

_GRACE_SECONDS = 30.0
# Shorter than the deadlines, so that a silent server is no_answer and not late.
CALL_SECONDS = 8.0
_START = "Start the tunnel (`cloudflared tunnel run`), or remove tunnel_metrics from [health]."
_EDGE = "See cloudflared's log, and check that this machine reaches the internet."
_ORIGIN = "Compare the tunnel's service address with the gateway's host and port."
_ADDRESS = "Correct public_url in [server], or the tunnel's public hostname."

# By the state of the process.
_PROCESS_RESULTS = {
    "running": ("up", "cloudflared runs"),
    "stopped": ("stopped", "cloudflared is stopped (SIGSTOP or a debugger)"),
    "zombie": ("zombie", "cloudflared died, and its parent has not reaped it"),
    "absent": ("down", "no cloudflared runs"),
}
# Cloudflare returns these when it, or its tunnel, cannot reach the origin.
_ORIGIN_UNREACHABLE = (502, 504, 521, 522, 523, 530)


class TunnelProcessProbe:
    """Finds cloudflared by the name of its executable."""

    spec = ProbeSpec(
        "tunnel_process",
        "tunnel_process",
        Criticality.IMPAIRING,
        interval_seconds=10.0,
        deadline_seconds=5.0,
        grace_seconds=_GRACE_SECONDS,
    )
    codes = CodeTable(
        up=Code(CheckStatus.OK, fact=True),
        down=Code(CheckStatus.FAIL, _START, fact=True),
        stopped=Code(CheckStatus.FAIL, _START, fact=True),
        zombie=Code(CheckStatus.FAIL, _START, fact=True),
    )

    def __init__(self, finder: ProcessFinder | None = None) -> None:
        self._finder = finder or ProcessFinder(is_program("cloudflared"))

    def read(self) -> Reading:
        match = self._finder.find()
        code, message = _PROCESS_RESULTS[match.state]
        return self.codes.reading(code, message, {"pid": match.pid})


class TunnelEdgeProbe:
    """Reads the number of ready connections from cloudflared's metrics server."""

    spec = ProbeSpec(
        "tunnel_edge",
        "tunnel_edge",
        Criticality.IMPAIRING,
        interval_seconds=10.0,
        deadline_seconds=10.0,
        grace_seconds=_GRACE_SECONDS,
        caused_by=("tunnel_process",),
    )
    codes = CodeTable(
        connected=Code(CheckStatus.OK),
        no_answer=Code(CheckStatus.FAIL, _START),
        not_connected=Code(CheckStatus.FAIL, _EDGE),
        not_cloudflared=Code(CheckStatus.FAIL, _START),
    )

    def __init__(self, metrics_url: str, timeout_seconds: float = CALL_SECONDS) -> None:
        self._url = f"{metrics_url.rstrip('/')}/ready"
        self._timeout_seconds = timeout_seconds

    def read(self) -> Reading:
        try:
            response = fetch("GET", self._url, seconds=self._timeout_seconds)
        except RequestFailed as error:
            return self.codes.reading("no_answer", f"{self._url}: {error}", {"why": error.code})
        connections = _ready_connections(response)
        data = {"http_status": response.status, "ready_connections": connections}
        if connections is None:
            message = f"the answer of {self._url} is not cloudflared's"
            return self.codes.reading("not_cloudflared", message, data)
        # cloudflared returns 503 while it reconnects.
        if response.status == 503 or connections < 1:
            return self.codes.reading("not_connected", "no connection to the edge is ready", data)
        message = f"{connections} connections to the edge are ready"
        return self.codes.reading("connected", message, data)


class TunnelPublicProbe:
    """Calls this gateway by its public address, with a nonce that no cache has."""

    spec = ProbeSpec(
        "tunnel_public",
        "tunnel_public",
        Criticality.IMPAIRING,
        interval_seconds=30.0,
        deadline_seconds=10.0,
        grace_seconds=_GRACE_SECONDS,
        caused_by=("tunnel_edge", "tunnel_process", "web", "port"),
    )
    codes = CodeTable(
        reachable=Code(CheckStatus.OK),
        no_answer=Code(CheckStatus.FAIL, _ADDRESS),
        origin_unreachable=Code(CheckStatus.FAIL, _ORIGIN),
        redirected=Code(CheckStatus.FAIL, _ADDRESS),
        tunnel_foreign=Code(CheckStatus.FAIL, _ADDRESS, fact=True),
        bad_status=Code(CheckStatus.FAIL, _ADDRESS),
    )

    def __init__(
        self, public_url: str, instance_id: str, timeout_seconds: float = CALL_SECONDS
    ) -> None:
        self._url = f"{public_url.rstrip('/')}{PULSE}"
        self._instance_id = instance_id
        self._timeout_seconds = timeout_seconds

    def read(self) -> Reading:
        nonce = secrets.token_urlsafe(12)
        try:
            response = fetch("GET", f"{self._url}?nonce={nonce}", seconds=self._timeout_seconds)
        except RequestFailed as error:
            return self.codes.reading("no_answer", f"{self._url}: {error}", {"why": error.code})
        code, message = self._judge(response, nonce)
        return self.codes.reading(code, message, {"http_status": response.status})

    def _judge(self, response: Response, nonce: str) -> tuple[str, str]:
        if response.status in _ORIGIN_UNREACHABLE:
            return "origin_unreachable", "the public address answers without reaching this gateway"
        if 300 <= response.status < 400:
            return "redirected", "the public address redirects callers, perhaps to a login page"
        if response.status != 200:
            return "bad_status", f"the public address returned {response.status}"
        body = _json_object(response)
        if body.get("instance_id") == self._instance_id and body.get("nonce") == nonce:
            return "reachable", ""
        return "tunnel_foreign", "another program answers at the public address"


def _ready_connections(response: Response) -> int | None:
    """None when the answer is not cloudflared's."""
    if response.status not in (200, 503):
        return None
    connections = _json_object(response).get("readyConnections")
    # An exact type: JSON's true is an int in Python.
    if type(connections) is not int:
        return None
    return connections


def _json_object(response: Response) -> dict[str, object]:
    """The body; empty when it is not a JSON object."""
    try:
        content = json.loads(response.body)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(content, dict):
        return {}
    return content
