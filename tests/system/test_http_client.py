from __future__ import annotations

import re
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from gpt_cursor_runner.system.http_client import MAX_BODY_BYTES, RequestFailed, Response, fetch
from tests.running import free_port


@contextmanager
def answering(
    answer: Callable[[socket.socket, bytes], None],
    wrap: Callable[[socket.socket], socket.socket] = lambda raw: raw,
) -> Iterator[int]:
    """A server that passes each connection and its request to `answer`; yields
    its port.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    raw, _ = listener.accept()
                except OSError:
                    return
                with suppress(OSError), wrap(raw) as connection:
                    answer(connection, received(connection))

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)


def received(connection: socket.socket) -> bytes:
    """A complete request, which may arrive in several pieces."""
    request = b""
    while piece := connection.recv(65536):
        request += piece
        head, end, body = request.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        body_bytes = int(length[1]) if length else 0
        if end and len(body) >= body_bytes:
            break
    return request


def sending(*pieces: bytes, pause: float = 0.0) -> Callable[[socket.socket, bytes], None]:
    def answer(connection: socket.socket, _: bytes) -> None:
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(pause)

    return answer


def refusal(url: str, seconds: float = 5.0) -> str:
    with pytest.raises(RequestFailed) as raised:
        fetch("GET", url, seconds=seconds)
    return raised.value.code


def test_an_answer_has_its_status_headers_and_body():
    asked: list[bytes] = []

    def answer(connection: socket.socket, request: bytes) -> None:
        asked.append(request)
        connection.sendall(b"HTTP/1.1 207 Some\r\nX-Part: One\r\nContent-Length: 4\r\n\r\nbody")

    with answering(answer) as port:
        reply = fetch("POST", f"http://127.0.0.1:{port}/a?b=c", b"mine", {"X-Mine": "yes"})
    assert (reply.status, reply.headers["x-part"], reply.body) == (207, "One", b"body")
    assert asked[0].startswith(b"POST /a?b=c HTTP/1.1\r\n") and asked[0].endswith(b"\r\n\r\nmine")
    assert b"X-Mine: yes\r\n" in asked[0]


def test_only_a_json_object_is_read_from_a_body():
    assert Response(200, {}, b'{"a": 1}').json_object() == {"a": 1}
    for body in (b"", b"[]", b"null", b"{", b"\xff", b"[" * 100_000):
        assert Response(200, {}, body).json_object() is None


def test_a_redirect_is_an_answer_and_is_not_followed():
    with answering(
        sending(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")
    ) as port:
        assert fetch("GET", f"http://127.0.0.1:{port}/").status == 302


def test_credentials_in_the_address_are_sent_as_authorization():
    asked: list[bytes] = []

    def answer(connection: socket.socket, request: bytes) -> None:
        asked.append(request)
        connection.sendall(b"HTTP/1.1 204 No\r\n\r\n")

    with answering(answer) as port:
        fetch("GET", f"http://me:mine@127.0.0.1:{port}/")
    assert b"authorization: Basic bWU6bWluZQ==" in asked[0]


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
    ],
)
def test_an_answer_in_drips_has_one_deadline_for_all_of_it(head):
    drips = [b"x" for _ in range(100)]
    with answering(sending(head, *drips, pause=0.1)) as port:
        # All drips take ten seconds; a deadline for each of them never passes.
        assert refusal(f"http://127.0.0.1:{port}/", seconds=0.5) == "timed_out"


def test_an_endless_body_is_cut_at_the_limit():
    more_to_come = sending(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (MAX_BODY_BYTES + 5), pause=3)
    with answering(more_to_come) as port:
        assert fetch("GET", f"http://127.0.0.1:{port}/", seconds=2.0).body == b"x" * MAX_BODY_BYTES


def test_each_failure_has_its_code():
    assert refusal(f"http://127.0.0.1:{free_port()}/") == "refused"
    assert refusal("http://nobody.invalid/") == "no_host"
    assert refusal("ftp://127.0.0.1/") == "bad_url"
    assert refusal("not an address") == "bad_url"
    with answering(sending()) as port:
        assert refusal(f"http://127.0.0.1:{port}/") == "broken"
    with answering(sending(b"no http at all\r\n\r\n")) as port:
        assert refusal(f"http://127.0.0.1:{port}/") == "not_http"


def test_a_header_that_would_split_the_request_is_refused():
    with answering(sending(b"HTTP/1.1 200 OK\r\n\r\n")) as port, pytest.raises(RequestFailed):
        fetch("GET", f"http://127.0.0.1:{port}/", headers={"X": "a\r\nY: b"})


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    key, signed = tmp_path / "key.pem", tmp_path / "signed.pem"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        *names,
    ]
    try:
        subprocess.run(
            [*command, "-keyout", key, "-out", signed, "-days", "2"],
            capture_output=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no openssl here to make a certificate with")
    return signed, key


def test_a_certificate_must_be_trusted_for_the_host_name(certificate, monkeypatch):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    answer = sending(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
    with answering(answer, lambda raw: context.wrap_socket(raw, server_side=True)) as port:
        assert refusal(f"https://localhost:{port}/") == "tls"
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        assert fetch("GET", f"https://localhost:{port}/").body == b"hi"
        assert refusal(f"https://127.0.0.1:{port}/") == "tls"
