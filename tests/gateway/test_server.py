"""The gateway as a process: granian, real sockets, real signals."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest

from tests.building import patch_body
from tests.running import Installation, free_port, installed, is_alive, listens, wait_until

CAP = 64 * 1024
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One gateway process for the tests that leave it running."""
    place = tmp_path_factory.mktemp("served")
    with (
        environment(GCR_SERVER__MAX_BODY_BYTES=str(CAP)),
        installed(place, "gateway") as installation,
    ):
        yield installation


@contextmanager
def environment(**values: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        for name, value in values.items():
            patched.setenv(name, value)
        yield


def head(served: Installation, *lines: str, path: str = "/webhook", method: str = "POST") -> bytes:
    sent = (
        f"{method} {path} HTTP/1.1",
        f"Host: 127.0.0.1:{served.port}",
        f"Authorization: Bearer {served.key}",
    )
    return "\r\n".join([*sent, "Connection: close", *lines, "", ""]).encode()


def raw(
    served: Installation, data: bytes, then_close: bool = False, seconds: float = 10
) -> tuple[int, bytes]:
    """The status and all that came back for these bytes."""
    with socket.create_connection(("127.0.0.1", served.port), timeout=seconds) as connection:
        connection.sendall(data)
        if then_close:
            connection.shutdown(socket.SHUT_WR)
        received = b""
        while part := connection.recv(65536):
            received += part
    return int(received.split(b" ")[1]), received


def sized(patch_id: str, length: int) -> bytes:
    return json.dumps(patch_body(id=patch_id))[:-1].ljust(length - 1).encode() + b"}"


def chunked(body: bytes, size: int = 8000) -> bytes:
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


@pytest.mark.parametrize("extra", [-1, 0, 1])
@pytest.mark.parametrize("way", ["declared", "chunked"])
def test_the_maximum_length_holds_for_every_framing_and_nothing_is_cut(served, way, extra):
    patch_id = f"cap-{way}-{extra + 1}"
    body = sized(patch_id, CAP + extra)
    if way == "declared":
        data = head(served, "Content-Type: application/json", f"Content-Length: {len(body)}") + body
    else:
        data = head(
            served, "Content-Type: application/json", "Transfer-Encoding: chunked"
        ) + chunked(body)
    status, _ = raw(served, data)
    assert status == (413 if extra > 0 else 202)
    ledger = served.ledger()
    try:
        is_stored = patch_id in [stored.id for stored in ledger.queries.page(limit=100)]
        assert is_stored == (extra <= 0)
        if is_stored:
            assert (
                hashlib.sha256(ledger.queries.request(patch_id)).digest()
                == hashlib.sha256(body).digest()
            )
    finally:
        ledger.close()


def test_a_declared_length_over_the_cap_is_refused_without_waiting_for_it(served):
    status, _ = raw(
        served,
        head(served, "Content-Type: application/json", "Content-Length: 10000000"),
        seconds=20,
    )
    assert status == 413


def test_an_endless_chunked_body_is_refused_at_the_cap(served):
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as connection:
        connection.sendall(
            head(served, "Content-Type: application/json", "Transfer-Encoding: chunked")
        )
        sent = 0
        try:
            while sent < 64 * CAP:
                connection.sendall(b"%x\r\n%s\r\n" % (CAP, b" " * CAP))
                sent += CAP
        except OSError:
            pass  # the gateway closed on us, as it should
        assert sent < 64 * CAP or b" 413 " in connection.recv(4096)


TWO_FILES = (
    b'--- a/greeting.py\n+++ b/greeting.py\n@@ -1,2 +1,2 @@\n def greet():\n-    return "hi"\n+   '
    b' return "ho"\n--- a/README.md\n+++ b/README.md\n@@ -1 +1 @@\n-# App\n+# Apple\n'
)
HALF = TWO_FILES[: TWO_FILES.index(b"--- a/README")]


@pytest.mark.parametrize(
    ("lines", "data", "status"),
    [
        ([f"Content-Length: {len(TWO_FILES)}"], HALF, 400),
        (["Transfer-Encoding: chunked"], b"%x\r\n%s\r\n" % (len(HALF), HALF), 411),
        (["Transfer-Encoding: chunked"], chunked(HALF)[:-5] + b"zz\r\n", 411),
    ],
    ids=["declared", "chunked", "bad chunk"],
)
def test_half_a_diff_is_never_accepted(served, lines, data, status):
    sent = head(
        served, "Content-Type: text/plain", "X-Patch-Id: half", "X-Patch-Title: Half", *lines
    )
    assert raw(served, sent + data, then_close=True)[0] == status
    assert served.call("GET", "/v1/patches/half").status == 404


def test_a_json_body_that_broke_off_is_refused_chunked_too(served):
    sent = head(served, "Content-Type: application/json", "Transfer-Encoding: chunked")
    body = json.dumps(patch_body(id="half-json")).encode()[:-9]
    assert raw(served, sent + b"%x\r\n%s\r\n" % (len(body), body), then_close=True)[0] == 400


def test_a_request_framed_twice_is_never_read_as_two(served):
    body = json.dumps(patch_body(id="framed")).encode()
    smuggled = head(served, method="GET", path="/v1/patches/framed/log")
    lines = [
        "Content-Type: application/json",
        "Transfer-Encoding: chunked",
        f"Content-Length: {len(chunked(body))}",
    ]
    _, received = raw(served, head(served, *lines) + chunked(body) + smuggled)
    assert received.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: 5", "Content-Length: 6"],
        ["Content-Length: -1"],
        ["Transfer-Encoding: gzip"],
        ["Bad Name: x"],
    ],
)
def test_broken_framing_is_400(served, lines):
    assert raw(served, head(served, *lines) + b"hello!")[0] == 400


def test_too_much_header_is_431(served):
    assert (
        raw(served, head(served, "X-Long: " + "a" * 40_000, method="GET", path="/livez"))[0] == 431
    )


def test_no_redirect_leads_away(served):
    assert raw(served, head(served, "Content-Length: 0", path="/v1//patches"))[0] == 404


@pytest.mark.parametrize("patch_id", ["patch-v3.3.31(P8.13.23)_x", "a+b"])
def test_an_id_with_unusual_characters_survives_the_wire(served, patch_id):
    answer = served.call("POST", "/webhook", patch_body(id=patch_id))
    assert served.call("GET", answer.headers["location"]).body["patch_id"] == patch_id


def test_slow_senders_can_block_the_webhook_but_not_health(served):
    started = head(served, "Content-Type: application/json", "Content-Length: 100") + b"{"
    with ExitStack() as held:
        for data in (b"POST /webhook HTTP/1.1\r\nHost: x", started) * 40:
            connection = held.enter_context(socket.create_connection(("127.0.0.1", served.port)))
            connection.sendall(data)
        for _ in range(5):
            assert served.call("GET", "/livez", key=None).status == 200
    wait_until(
        lambda: served.call("POST", "/webhook", patch_body()).status == 202,
        "the permits did not come back",
    )


def test_senders_without_a_permit_get_503_and_retry_after(served):
    started = head(served, "Content-Type: application/json", "Content-Length: 100") + b"{"
    with ExitStack() as held:

        def one_more() -> bool:
            connection = held.enter_context(socket.create_connection(("127.0.0.1", served.port)))
            connection.sendall(started)
            return bool(served.call("POST", "/webhook", patch_body()).status == 503)

        wait_until(one_more, "there was always a permit")
        busy = served.call("POST", "/webhook", patch_body())
        assert (busy.status, busy.body["code"], busy.headers["retry-after"]) == (503, "busy", "1")
    wait_until(
        lambda: served.call("POST", "/webhook", patch_body()).status == 202,
        "the permits did not come back",
    )


def test_a_ledger_locked_by_another_process_is_503_in_time_and_nothing_is_stored(served):
    locker = sqlite3.connect(served.directory / "state" / "ledger.sqlite3", isolation_level=None)
    locker.execute("BEGIN IMMEDIATE")
    try:
        threads = [
            threading.Thread(target=refused_as_locked, args=(served, number))
            for number in range(12)
        ]
        for thread in threads:
            thread.start()
        assert served.call("GET", "/livez", key=None).status == 200
        for thread in threads:
            thread.join()
    finally:
        locker.execute("ROLLBACK")
        locker.close()
    wait_until(
        lambda: served.call("POST", "/webhook", patch_body(id="free")).status < 300,
        "it stayed locked",
    )
    for number in range(12):
        assert served.call("GET", f"/v1/patches/locked-{number}").status == 404


def refused_as_locked(served: Installation, number: int) -> None:
    answer = served.call("POST", "/webhook", patch_body(id=f"locked-{number}"))
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert (
        answer.body["code"] == "ledger_unavailable"
        and "Nothing was accepted" in answer.body["detail"]
    )


def test_no_secret_is_in_any_log(served):
    stray = "gcr_0123456789ab_" + "Z" * 43
    served.call("POST", "/webhook", patch_body(title=f"with {served.key}"))
    served.call("GET", f"/v1/patches/{served.key}")
    served.call("GET", f"/{stray}?key={stray}", key=stray)
    served.call("POST", "/webhook", b"{", headers={"X-Patch-Id": served.key})
    raw(served, head(served, f"X-Long: {served.key}" + "a" * 40_000))
    written = (served.directory / "gateway.log").read_text()
    assert '"event": "request"' in written and "gcr_0123456789ab_…" in written
    assert served.key not in written and stray not in written
    assert served.key.rpartition("_")[2] not in written
    assert "request_failed" not in written


# From here on every test has a gateway of its own, and does something bad to it.


def worker_of(installation: Installation) -> psutil.Process:
    return psutil.Process(installation.processes["gateway"].pid).children()[0]


def test_a_killed_worker_is_replaced(tmp_path):
    with installed(tmp_path, "gateway") as installation:
        killed = worker_of(installation)
        killed.kill()
        wait_until(lambda: answers(installation), "no worker came back")
        assert worker_of(installation).pid != killed.pid
        assert installation.call("POST", "/webhook", patch_body()).status == 202


def test_a_worker_follows_its_killed_parent(tmp_path):
    with installed(tmp_path, "gateway") as installation:
        worker = worker_of(installation)
        installation.kill("gateway")
        wait_until(lambda: not is_alive(worker.pid), "the worker lives on")
        wait_until(lambda: not listens(installation.port), "the port is still open")


def answers(installation: Installation) -> bool:
    try:
        return installation.call("GET", "/livez", key=None, seconds=1).status == 200
    except OSError:
        return False


def test_a_waiting_sender_is_answered_when_the_gateway_is_terminated(tmp_path):
    with installed(tmp_path, "gateway") as installation:
        answered = []
        sender = threading.Thread(
            target=lambda: answered.append(
                installation.call("POST", "/webhook?wait=25", patch_body(id="waits"))
            )
        )
        sender.start()
        wait_until(
            lambda: installation.call("GET", "/v1/patches/waits").status == 200,
            "it was not accepted",
        )
        process = installation.processes.pop("gateway")
        began = time.monotonic()
        process.terminate()
        sender.join()
        # Long before the 25 seconds that the sender would wait.
        assert time.monotonic() - began < 20
        assert (answered[0].status, answered[0].body["status"]) == (202, "queued")
        assert process.wait(30) == 0
        assert not listens(installation.port)


def test_a_second_gateway_on_the_port_is_refused_with_the_holder(tmp_path):
    with installed(tmp_path, "gateway") as installation:
        second = gateway(installation)
        assert second.returncode == 1
        assert (
            f"port {installation.port} is taken by pid " in second.stderr
            and "next: gcr doctor" in second.stderr
        )
        assert installation.call("GET", "/livez", key=None).status == 200


def gateway(
    installation: Installation, *options: str, **values: str
) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "gpt_cursor_runner",
        "gateway",
        "--config",
        str(installation.config),
        *options,
    ]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=30, env={**os.environ, **values}, cwd=ROOT
    )


@pytest.fixture
def keyless(tmp_path):
    installation = Installation.create(tmp_path)
    ledger = installation.ledger()
    for key in ledger.keys.list():
        ledger.keys.revoke(key.id, time.time())
    ledger.close()
    return installation


def test_without_a_key_it_refuses_to_start(keyless):
    done = gateway(keyless)
    assert done.returncode == 4
    assert "next: gcr key create NAME" in done.stderr and not listens(keyless.port)


def test_with_insecure_no_auth_it_starts_on_loopback(keyless):
    command = [
        sys.executable,
        "-m",
        "gpt_cursor_runner",
        "gateway",
        "--insecure-no-auth",
        "--config",
    ]
    process = subprocess.Popen([*command, str(keyless.config)], cwd=ROOT)
    try:
        wait_until(lambda: answers(keyless), "it did not start")
        assert keyless.call("POST", "/webhook", patch_body(), key=None).status == 202
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_with_insecure_no_auth_it_refuses_other_addresses(keyless):
    done = gateway(
        keyless,
        "--insecure-no-auth",
        GCR_SERVER__HOST="192.0.2.1",
        GCR_SERVER__PORT=str(free_port()),
    )
    assert done.returncode == 2
    assert "loopback" in done.stderr
