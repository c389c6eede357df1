"""Alerts and history of a real gateway that is killed, loses its sink, and is
started again.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from standardwebhooks import Webhook

from tests.receiver import Receiver
from tests.running import Installation, wait_until

SECRET = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"


@contextmanager
def alerting(place: Path, receiver: Receiver) -> Iterator[Installation]:
    installation = Installation.create(place)
    with installation.config.open("a") as config:
        config.write(f'[alerts]\nwebhook_url = "{receiver.url}"\nwebhook_secret = "{SECRET}"\n')
    try:
        installation.start("gateway", "runner")
        installation.wait_for_health("healthy")
        yield installation
    finally:
        installation.stop()


def alerts_about(receiver: Receiver, subject: str) -> list[dict[str, Any]]:
    """The alerts as received, each with its signature verified."""
    requests = list(receiver.arrived)
    bodies = [Webhook(SECRET).verify(request.body, request.headers) for request in requests]
    return [body for body in bodies if body["subject"] == subject]


def test_trigger_and_resolve_arrive_once_in_order_despite_a_dead_sink(
    tmp_path: Path,
):
    """The gateway is killed while the alert is owed."""
    receiver = Receiver()  # it does not listen yet
    with alerting(tmp_path, receiver) as installation:
        installation.kill("runner")
        ledger = installation.ledger()
        wait_until(lambda: ledger.alerts.pending_count() > 0, "no alert is owed")
        installation.kill("gateway")
        installation.start("gateway")
        wait_until(lambda: _attempts(installation) > 0, "the dead sink was never tried")
        with receiver.up():
            wait_until(lambda: alerts_about(receiver, "runner") != [], "the trigger never arrived")
            installation.start("runner")
            wait_until(
                lambda: len(alerts_about(receiver, "runner")) > 1, "the resolve never arrived"
            )
            trigger, resolve = alerts_about(receiver, "runner")
        assert (trigger["kind"], trigger["severity"], trigger["code"]) == (
            "trigger",
            "warning",
            "down",
        )
        assert (resolve["kind"], resolve["incident_id"]) == ("resolve", trigger["incident_id"])
        assert trigger["key"] != resolve["key"]
        bodies = [request.body for request in receiver.arrived]
        text = b"".join(bodies).decode()
        assert str(tmp_path) not in text and installation.key not in text
        # On an overloaded machine the monitor reports its own lag, rightly.
        subjects = {json.loads(body)["subject"] for body in bodies}
        assert subjects - {"monitor"} == {"runner"}
        wait_until(lambda: ledger.alerts.pending_count() == 0, "something is still owed")
        ledger.close()


def _attempts(installation: Installation) -> int:
    ledger = installation.ledger()
    try:
        alert = ledger.alerts.next_due("webhook", time.time() + 3600)
        if alert is None:
            return 0
        return alert.attempts
    finally:
        ledger.close()


def test_only_the_cause_is_alerted(tmp_path: Path):
    receiver = Receiver()
    with receiver.up(), alerting(tmp_path, receiver):
        (tmp_path / "state" / "patches").rename(tmp_path / "aside")
        wait_until(lambda: alerts_about(receiver, "filesystem") != [], "the alert never arrived")
        (alert,) = alerts_about(receiver, "filesystem")
        assert (alert["severity"], alert["code"], alert["overall_status"]) == (
            "critical",
            "missing",
            "unknown",
        )
        assert alerts_about(receiver, "overall") == []


def test_the_history_survives_a_kill_and_shows_the_gap(tmp_path: Path):
    installation = Installation.create(tmp_path)
    try:
        installation.start("gateway", "runner")
        installation.wait_for_health("healthy")
        installation.kill("runner")
        wait_until(
            lambda: _flip(installation, "runner", "down") is not None,
            "the flip is not in the history",
        )
        before = _flip(installation, "runner", "down")
        installation.kill("gateway")
        time.sleep(1)
        installation.start("gateway")
        wait_until(
            lambda: _flip(installation, "gateway", None) is not None,
            "the history cannot be read again",
        )
        assert _flip(installation, "runner", "down") == before
        started = [flip for flip in _flips(installation) if flip["check"] == "gateway"]
        # No "stopped" between them: the gateway was killed.
        assert [flip["status"] for flip in started] == ["started", "started"]
        assert len({flip["instance_id"] for flip in started}) == 2
    finally:
        installation.stop()


def _flips(installation: Installation) -> list[dict[str, Any]]:
    try:
        answer = installation.call("GET", "/health/history", seconds=5)
    except (OSError, http.client.HTTPException):
        return []
    if answer.status != 200:
        return []
    return list(answer.body["flips"])


def _flip(installation: Installation, check: str, code: str | None) -> dict[str, Any] | None:
    for flip in _flips(installation):
        if flip["check"] == check and code in (None, flip["code"]):
            return flip
    return None


class Tunnel:
    """A server in place of cloudflared: a public address that forwards to an
    origin, and the metrics of the edge.
    """

    def __init__(self, origin: int) -> None:
        tunnel = self
        self.origin = origin

        class Forward(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/ready":
                    self.answer(200, b'{"status": 200, "readyConnections": 4, "connectorId": "x"}')
                    return
                connection = http.client.HTTPConnection("127.0.0.1", tunnel.origin, timeout=5)
                try:
                    connection.request("GET", self.path, headers={"Host": self.headers["Host"]})
                    answer = connection.getresponse()
                    self.answer(answer.status, answer.read())
                except OSError:
                    self.answer(502, b"no origin")
                finally:
                    connection.close()

            def answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002  as http.server has it
                pass

        # Another address of this machine: a public_url of localhost is not
        # watched.
        self.server = ThreadingHTTPServer(("127.0.0.2", 0), Forward)
        self.url = f"http://127.0.0.2:{self.server.server_port}"
        Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def test_a_tunnel_without_its_origin_is_detected_despite_its_edge(tmp_path: Path):
    installation = Installation.create(tmp_path)
    tunnel = Tunnel(installation.port)
    installation.health_settings["tunnel_metrics"] = tunnel.url
    installation.configure()
    text = installation.config.read_text().replace(
        "[server]\n", f'[server]\npublic_url = "{tunnel.url}"\n'
    )
    installation.config.write_text(text)

    def status(name: str) -> str:
        return str(
            installation.call("GET", "/health?fresh=1")
            .body.get("checks", {})
            .get(name, {})
            .get("code")
        )

    try:
        installation.start("gateway", "runner")
        wait_until(installation.answers, "the gateway does not answer")
        wait_until(
            lambda: status("tunnel_public") == "reachable", "the public address is not proven"
        )
        assert status("tunnel_edge") == "connected"
        tunnel.origin = 1  # the tunnel works, without an origin
        wait_until(
            lambda: status("tunnel_public") == "origin_unreachable", "a lost origin looks well"
        )
        assert status("tunnel_edge") == "connected"
        body = installation.health()
        # Patches from this machine are still accepted.
        assert (body["overall_status"], body["ready"]) == ("degraded", True)
        assert body["components"]["tunnel"] == "fail"
    finally:
        installation.stop()
        tunnel.close()
