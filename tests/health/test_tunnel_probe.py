"""The tunnel checks against a small server in the place of cloudflared's metrics,
and a real forwarding proxy in the place of the public address.
"""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from gpt_cursor_runner.health.monitor.model import CheckStatus
from gpt_cursor_runner.health.probes.tunnel import (
    CALL_SECONDS,
    TunnelEdgeProbe,
    TunnelProcessProbe,
    TunnelPublicProbe,
)
from tests.health.builders import until
from tests.running import free_port

Answer = Callable[[str], tuple[int, dict[str, str], bytes]]


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """A server whose answer to a path is status, headers and body; its address."""

    class Asked(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = answer(self.path)
            self.send_response(status)
            for name, value in (headers | {"Content-Length": str(len(body))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Asked)
    threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
    ).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def returns(status: int, body: object) -> Answer:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda path: (status, {}, text if path == "/ready" else b"not here")


def gateway(instance_id: str) -> Answer:
    """`/pulse` as a gateway answers it."""

    def pulse(path: str) -> tuple[int, dict[str, str], bytes]:
        url = urlsplit(path)
        if url.path != "/pulse":
            return 404, {}, b""
        nonce = parse_qs(url.query).get("nonce", [""])[0]
        return 200, {}, json.dumps({"instance_id": instance_id, "nonce": nonce}).encode()

    return pulse


def proxy(origin: str) -> Answer:
    """Forwards as a tunnel does, with 502 for an origin that does not answer."""

    def forward(path: str) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(urlsplit(origin).netloc, timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, {}, answer.read()
        except OSError:
            return 502, {}, b"Bad gateway"
        finally:
            connection.close()

    return forward


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (
            200,
            {"status": 200, "readyConnections": 4, "connectorId": "c"},
            (CheckStatus.OK, "connected"),
        ),
        (200, {"status": 200, "readyConnections": 0}, (CheckStatus.FAIL, "not_connected")),
        (503, {"status": 503, "readyConnections": 0}, (CheckStatus.FAIL, "not_connected")),
        (200, {"hello": "world"}, (CheckStatus.FAIL, "not_cloudflared")),
        (200, {"readyConnections": True}, (CheckStatus.FAIL, "not_cloudflared")),
        (200, b"<html>", (CheckStatus.FAIL, "not_cloudflared")),
        (404, b"", (CheckStatus.FAIL, "not_cloudflared")),
    ],
)
def test_the_edge_is_ok_when_a_connection_is_ready(status, body, expected):
    with serving(returns(status, body)) as address:
        reading = TunnelEdgeProbe(address + "/").read()
    assert (reading.status, reading.code) == expected


def test_without_a_metrics_server_there_is_no_answer():
    reading = TunnelEdgeProbe(f"http://127.0.0.1:{free_port()}").read()
    assert (reading.status, reading.code, reading.data["why"]) == (
        CheckStatus.FAIL,
        "no_answer",
        "refused",
    )
    assert reading.remedy


def test_a_public_address_is_proven_by_the_nonce_in_its_answer():
    with serving(gateway("mine")) as origin, serving(proxy(origin)) as public:
        assert TunnelPublicProbe(public, "mine").read().code == "reachable"


def test_an_unreachable_origin_behind_a_working_tunnel_is_detected():
    edge = returns(200, {"readyConnections": 4})
    with serving(edge) as metrics, serving(proxy(f"http://127.0.0.1:{free_port()}")) as public:
        assert TunnelEdgeProbe(metrics).read().status is CheckStatus.OK  # it never asks the origin
        reading = TunnelPublicProbe(public, "mine").read()
    assert (reading.status, reading.code, reading.data["http_status"]) == (
        CheckStatus.FAIL,
        "origin_unreachable",
        502,
    )


def test_another_gateway_behind_the_address_is_foreign():
    with serving(gateway("another")) as origin, serving(proxy(origin)) as public:
        reading = TunnelPublicProbe(public, "mine").read()
    assert (reading.status, reading.code, reading.fact) == (
        CheckStatus.FAIL,
        "tunnel_foreign",
        True,
    )


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ((302, {"Location": "https://login.example/"}, b""), "redirected"),
        ((530, {}, b"error code: 1033"), "origin_unreachable"),
        ((403, {}, b"no"), "bad_status"),
        (
            (200, {}, json.dumps({"instance_id": "mine", "nonce": "of an earlier call"}).encode()),
            "tunnel_foreign",
        ),
        ((200, {}, b"<html>parked</html>"), "tunnel_foreign"),
    ],
)
def test_every_other_answer_of_the_address_has_its_code(answer, code):
    with serving(lambda _: answer) as public:
        reading = TunnelPublicProbe(public, "mine").read()
    assert (reading.status, reading.code) == (CheckStatus.FAIL, code)


def test_an_address_without_a_listener_is_no_answer():
    reading = TunnelPublicProbe(f"http://127.0.0.1:{free_port()}", "mine").read()
    assert (reading.code, reading.data["why"]) == ("no_answer", "refused")


def test_the_process_of_the_tunnel_is_found_by_its_executable(tmp_path: Path):
    assert TunnelProcessProbe().read().code == "down"
    program = tmp_path / "cloudflared"
    shutil.copy(shutil.which("sleep") or "/bin/sleep", program)
    with subprocess.Popen([program, "60"]) as process:
        # Linux shows no arguments for a moment after exec.
        assert until(lambda: TunnelProcessProbe().read().code == "up")
        reading = TunnelProcessProbe().read()
        process.kill()
    assert (reading.status, reading.data["pid"]) == (CheckStatus.OK, process.pid)


@pytest.mark.parametrize("probe", [TunnelEdgeProbe, TunnelPublicProbe])
def test_a_silent_server_is_no_answer_before_the_check_is_late(probe):
    assert probe.spec.deadline_seconds > CALL_SECONDS


def test_the_cause_suppresses_alerts_about_its_effects():
    assert "tunnel_process" in TunnelEdgeProbe.spec.caused_by
    assert {"tunnel_process", "tunnel_edge"} <= set(TunnelPublicProbe.spec.caused_by)
