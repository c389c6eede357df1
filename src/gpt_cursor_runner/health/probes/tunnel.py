"""Is the gateway reached from outside? Three looks: the tunnel's process, its
edge, and the public address itself.

cloudflared's own word is not enough: it counts connections to the edge and
never asks the origin behind it.
"""

from __future__ import annotations

import json
import secrets

from gpt_cursor_runner.health.monitor.model import Criticality, ProbeSpec, Reading, Status
from gpt_cursor_runner.health.probes.processes import Finder, is_program
from gpt_cursor_runner.system.http_client import RequestFailed, Response, fetch

_GRACE_SECONDS = 30.0
_CALL_SECONDS = 8.0
_START = "Start the tunnel (`cloudflared tunnel run`), or take tunnel_metrics out of [health]."
_EDGE = "See cloudflared's log, and whether this machine reaches the internet."
_ORIGIN = "Compare the tunnel's service address with the gateway's host and port."
_ADDRESS = "Correct public_url in [server], or the tunnel's public hostname."

_PROCESS = {
    "running": (Status.OK, "up", "cloudflared runs"),
    "stopped": (Status.FAIL, "stopped", "cloudflared is stopped (SIGSTOP or a debugger)"),
    "zombie": (Status.FAIL, "zombie", "cloudflared died, and its parent has not taken notice"),
    "absent": (Status.FAIL, "down", "no cloudflared runs"),
}
# What Cloudflare says of an origin that it or its tunnel cannot reach.
_ORIGIN_LOST = (502, 504, 521, 522, 523, 530)


class TunnelProcessProbe:
    """Finds cloudflared by the name of its file."""

    spec = ProbeSpec(
        "tunnel_process",
        "tunnel_process",
        Criticality.IMPAIRING,
        interval_seconds=10.0,
        deadline_seconds=5.0,
        grace_seconds=_GRACE_SECONDS,
    )

    def __init__(self, finder: Finder | None = None) -> None:
        self._finder = finder or Finder(is_program("cloudflared"))

    def read(self) -> Reading:
        """One look at the process, or for it."""
        found = self._finder.look()
        status, code, message = _PROCESS[found.standing]
        return Reading(
            status,
            code,
            message,
            {"pid": found.pid},
            "" if status is Status.OK else _START,
            fact=True,
        )

    def close(self) -> None:
        """Nothing is held between two looks."""


class TunnelEdgeProbe:
    """Asks cloudflared's metrics listener how many connections to the edge are
    ready.
    """

    spec = ProbeSpec(
        "tunnel_edge",
        "tunnel_edge",
        Criticality.IMPAIRING,
        interval_seconds=10.0,
        deadline_seconds=10.0,
        grace_seconds=_GRACE_SECONDS,
        caused_by=("tunnel_process",),
    )

    def __init__(self, metrics_url: str, seconds: float = _CALL_SECONDS) -> None:
        self._url = f"{metrics_url.rstrip('/')}/ready"
        self._seconds = seconds

    def read(self) -> Reading:
        """Well when it says 200 and counts at least one."""
        try:
            answer = fetch("GET", self._url, seconds=self._seconds)
        except RequestFailed as error:
            message = f"{self._url}: {error}"
            return Reading(Status.FAIL, "no_answer", message, {"why": error.code}, _START)
        connections = _said(answer).get("readyConnections")
        data = {
            "http_status": answer.status,
            "ready_connections": connections if type(connections) is int else None,
        }
        if answer.status == 200 and type(connections) is int and connections >= 1:
            return Reading(Status.OK, "connected", f"{connections} connections to the edge", data)
        if answer.status in (200, 503) and type(connections) is int:
            return Reading(
                Status.FAIL, "not_connected", "no connection to the edge is ready", data, _EDGE
            )
        return Reading(
            Status.FAIL,
            "not_cloudflared",
            f"{self._url} does not answer as cloudflared does",
            data,
            _START,
        )

    def close(self) -> None:
        """Nothing is held between two looks."""


class TunnelPublicProbe:
    """Calls this gateway by its public address, with a nonce that no cache can
    know.
    """

    spec = ProbeSpec(
        "tunnel_public",
        "tunnel_public",
        Criticality.IMPAIRING,
        interval_seconds=30.0,
        deadline_seconds=10.0,
        grace_seconds=_GRACE_SECONDS,
        caused_by=("tunnel_edge", "tunnel_process", "web", "port"),
    )

    def __init__(self, public_url: str, instance_id: str, seconds: float = _CALL_SECONDS) -> None:
        self._url = f"{public_url.rstrip('/')}/pulse"
        self._instance_id = instance_id
        self._seconds = seconds

    def read(self) -> Reading:
        """Well when our own instance gave our own nonce back."""
        nonce = secrets.token_urlsafe(12)
        try:
            answer = fetch("GET", f"{self._url}?nonce={nonce}", seconds=self._seconds)
        except RequestFailed as error:
            return Reading(
                Status.FAIL, "no_answer", f"{self._url}: {error}", {"why": error.code}, _ADDRESS
            )
        return self._judge(answer, nonce)

    def close(self) -> None:
        """Nothing is held between two looks."""

    def _judge(self, answer: Response, nonce: str) -> Reading:
        said, data = _said(answer), {"http_status": answer.status}
        if (
            answer.status == 200
            and said.get("instance_id") == self._instance_id
            and said.get("nonce") == nonce
        ):
            return Reading(Status.OK, "reachable", data=data)
        if answer.status in _ORIGIN_LOST:
            message = "the public address answers, but does not reach this gateway"
            return Reading(Status.FAIL, "origin_unreachable", message, data, _ORIGIN)
        if 300 <= answer.status < 400:
            message = (
                "the public address sends its callers elsewhere; a login page stands before it,"
                " perhaps"
            )
            return Reading(Status.FAIL, "redirected", message, data, _ADDRESS)
        if answer.status == 200:
            return Reading(
                Status.FAIL,
                "tunnel_foreign",
                "another program answers there",
                data,
                _ADDRESS,
                fact=True,
            )
        return Reading(
            Status.FAIL,
            "bad_status",
            f"the public address answered {answer.status}",
            data,
            _ADDRESS,
        )


def _said(answer: Response) -> dict[str, object]:
    try:
        said = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
