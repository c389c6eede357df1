from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from gpt_cursor_runner.health.monitor.model import CheckStatus, Reading
from gpt_cursor_runner.health.probes.port import PortProbe
from gpt_cursor_runner.health.probes.self_call import CALL_SECONDS, SelfCall
from gpt_cursor_runner.health.probes.web import WebProbe
from tests.health.builders import until

ME = "instance-1"
EVERY_ADDRESS = "0.0.0.0"  # noqa: S104  for the length of a test


class ServerOnIPv6(ThreadingHTTPServer):
    address_family = socket.AF_INET6


@contextmanager
def serving(
    answer: Callable[[str], object], status: int = 200, host: str = "127.0.0.1"
) -> Iterator[tuple[int, list[str]]]:
    """A real web server; `answer` makes the body from the nonce. Yields its port
    and the list of requested paths.
    """
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            nonce = parse_qs(urlsplit(self.path).query).get("nonce", [""])[0]
            content = answer(nonce)
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing is printed."""

    server = (ServerOnIPv6 if ":" in host else ThreadingHTTPServer)((host, 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_port, paths
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def listening(serve: Callable[[socket.socket], None] | None = None) -> Iterator[int]:
    """A listener that never accepts, or hands its first connection to `serve`."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        if serve:
            threading.Thread(target=lambda: serve(listener.accept()[0]), daemon=True).start()
        yield listener.getsockname()[1]


def ours(nonce: str) -> dict[str, object]:
    return {"status": "pass", "instance_id": ME, "nonce": nonce}


def read_both(port: int, host: str = "127.0.0.1", timeout: float = 30.0) -> tuple[Reading, Reading]:
    """The readings of port and web from one call."""
    call = SelfCall(host, port, ME, timeout)
    return PortProbe(call).read(), WebProbe(call, lambda: 0, 64).read()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def test_our_own_answer_proves_port_and_web_in_one_round_trip():
    with serving(ours) as (port, paths):
        port_reading, web_reading = read_both(port)
    assert (port_reading.status, web_reading.status) == (CheckStatus.OK, CheckStatus.OK)
    assert len(paths) == 1 and paths[0].startswith("/pulse?nonce=")


def test_checks_that_ask_at_the_same_moment_share_one_call():
    def slowly(nonce: str) -> dict[str, object]:
        time.sleep(0.1)
        return ours(nonce)

    with serving(slowly) as (port, paths):
        call = SelfCall("127.0.0.1", port, ME)
        threads = [threading.Thread(target=call.result) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(paths) == 1


def test_a_result_is_shared_for_a_moment_only():
    with serving(ours) as (port, paths):
        call = SelfCall("127.0.0.1", port, ME)
        assert until(lambda: call.result() and len(paths) == 2, 10)


def test_a_silent_listener_is_no_answer_before_the_checks_are_late():
    # The second probe may wait for the call of the first.
    assert all(probe.spec.deadline_seconds >= 2 * CALL_SECONDS for probe in (WebProbe, PortProbe))


def test_a_gateway_on_ipv6_is_asked_there():
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    with serving(ours, host="::1") as (port, _):
        call = SelfCall("::", port, ME)
        assert (PortProbe(call).read().status, call.address) == (CheckStatus.OK, f"[::1]:{port}")


def test_every_call_carries_another_nonce():
    with serving(ours) as (port, paths):
        for _ in range(3):
            read_both(port)
    assert len(set(paths)) == 3


@pytest.mark.parametrize("host", [EVERY_ADDRESS, ""])
def test_a_gateway_bound_to_every_address_is_asked_on_loopback(host):
    with serving(ours, host=EVERY_ADDRESS) as (port, _):
        assert read_both(port, host)[0].status is CheckStatus.OK


@pytest.mark.parametrize(
    "say",
    [
        lambda nonce: {"status": "pass", "instance_id": "instance-2", "nonce": nonce},
        lambda nonce: {"status": "pass", "instance_id": ME, "nonce": "an older one"},
        lambda nonce: {"status": "pass"},
        lambda nonce: ["pass", nonce],
        lambda nonce: b"<html>hello</html>",
        lambda nonce: b"x" * 1_000_000,
        lambda nonce: b"[" * 5000,
    ],
    ids=["another gateway", "replayed", "no proof", "a list", "a page", "endless", "nested"],
)
def test_another_programs_answer_is_foreign(say):
    with serving(say) as (port, _):
        port_reading, web_reading = read_both(port)
    assert (port_reading.status, port_reading.code, port_reading.fact) == (
        CheckStatus.FAIL,
        "port_foreign",
        True,
    )
    assert (web_reading.status, web_reading.code) == (CheckStatus.FAIL, "not_reached")


def greet(connection: socket.socket) -> None:
    with connection:
        connection.recv(1000)
        connection.sendall(b"220 mail ready\r\n")


def test_a_program_that_speaks_no_http_is_foreign():
    with listening(greet) as port:
        assert read_both(port)[0].code == "port_foreign"


def flood(connection: socket.socket) -> None:
    with connection, contextlib.suppress(OSError):
        while True:
            connection.sendall(bytes(65536))


def test_an_endless_answer_is_cut_and_foreign():
    with listening(flood) as port:
        assert read_both(port, timeout=5.0)[0].code == "port_foreign"


def test_nobody_there_is_not_bound():
    port_reading, web_reading = read_both(free_port())
    assert (port_reading.code, port_reading.fact, web_reading.code) == (
        "not_bound",
        True,
        "not_reached",
    )


def test_an_outbound_connection_from_the_port_does_not_bind_it():
    port = free_port()
    with listening() as elsewhere, socket.socket() as outbound:
        outbound.bind(("127.0.0.1", port))
        outbound.connect(("127.0.0.1", elsewhere))
        assert read_both(port)[0].code == "not_bound"


DRIPS = 1000


class Dripping:
    """Sends one byte in 20 ms, until the other side closes the connection."""

    def __init__(self) -> None:
        self.sent = 0

    def __call__(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            for _ in range(DRIPS):
                connection.sendall(b"H")
                self.sent += 1
                time.sleep(0.02)


def hang_up(connection: socket.socket) -> None:
    with connection:
        connection.recv(1000)


@pytest.mark.parametrize(
    "serve", [None, Dripping(), hang_up], ids=["never accepts", "drips", "hangs up"]
)
def test_a_listener_without_a_complete_answer_is_no_answer(serve):
    with listening(serve) as port:
        port_reading, web_reading = read_both(port, timeout=0.3)
    assert (port_reading.status, port_reading.code) == (CheckStatus.FAIL, "no_answer")
    assert (web_reading.status, web_reading.code) == (CheckStatus.FAIL, "not_reached")


def test_an_answer_in_drips_is_given_up_at_the_deadline_for_all_of_it():
    drip = Dripping()
    with listening(drip) as port:
        assert read_both(port, timeout=0.3)[0].code == "no_answer"
    # The connection was closed long before the last byte.
    assert drip.sent < DRIPS / 2


def test_our_own_error_answer_is_our_port_but_no_responsive_web():
    with serving(ours, status=503) as (port, _):
        port_reading, web_reading = read_both(port)
    assert port_reading.status is CheckStatus.OK
    assert (web_reading.status, web_reading.code) == (CheckStatus.FAIL, "bad_status")


@pytest.mark.parametrize(
    ("busy", "code"), [(63, "not_reached"), (64, "web_saturated"), (70, "web_saturated")]
)
def test_silence_while_every_thread_is_busy_is_saturation_and_a_fact(busy, code):
    with listening() as port:
        reading = WebProbe(SelfCall("127.0.0.1", port, ME, 0.1), lambda: busy, 64).read()
    assert (reading.status, reading.code, reading.fact) == (
        CheckStatus.FAIL,
        code,
        code == "web_saturated",
    )
    assert reading.data["busy"] == busy


def test_busy_threads_are_no_trouble_while_we_are_answered():
    with serving(ours) as (port, _):
        assert (
            WebProbe(SelfCall("127.0.0.1", port, ME), lambda: 64, 64).read().status
            is CheckStatus.OK
        )
