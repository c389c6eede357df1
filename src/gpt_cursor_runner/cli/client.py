"""Speaking HTTP with a gateway. On its own machine no key need be typed: a passing one is made, used and forgotten."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from gpt_cursor_runner.cli.answering import CommandFailed, Exit, Session
from gpt_cursor_runner.config import client_key

_PASSING_KEY_SECONDS = 3600.0


@dataclass(frozen=True)
class Reply:
    status: int
    body: dict[str, Any]


@dataclass(frozen=True)
class Client:
    """One gateway, one key."""

    url: str
    key: str | None

    def call(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        seconds: float = 35,
    ) -> Reply:
        """The reply, whatever its status; ends the command when nobody answers."""
        parts = urlsplit(self.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname or "127.0.0.1", parts.port, timeout=seconds)
        said = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        try:
            connection.request(method, parts.path + path, body, {**said, **(headers or {})})
            answer = connection.getresponse()
            text = answer.read()
        except TimeoutError as late:
            raise CommandFailed(
                Exit.TIMED_OUT, f"{self.url} did not answer within {seconds:.0f} s", "gcr status"
            ) from late
        except (OSError, http.client.HTTPException) as nobody:
            raise CommandFailed(Exit.UNREACHABLE, f"nobody answers at {self.url}: {nobody}", "gcr up") from nobody
        finally:
            connection.close()
        try:
            return Reply(answer.status, json.loads(text))
        except ValueError as foreign:
            message = f"{self.url} is not a gateway of ours: it answered {answer.status} without JSON"
            raise CommandFailed(Exit.UNREACHABLE, message, "gcr doctor") from foreign

    def expect(self, reply: Reply) -> dict[str, Any]:
        """The body of a good reply; ends the command with the problem's words otherwise."""
        if reply.status < 400:
            return reply.body
        code = Exit.NOT_ALLOWED if reply.status in (401, 403) else Exit.FAILED
        lines = [str(reply.body.get("detail", f"HTTP {reply.status}"))]
        for error in reply.body.get("errors", []):
            lines.append(f"  {error.get('pointer') or error.get('path', '')}: {error['message']} ({error['code']})")
            lines.append(f"    {error.get('hint', '')}")
        advice = (
            "gcr key create NAME --scope submit" if code is Exit.NOT_ALLOWED else "gcr send FILE, mended as told above"
        )
        raise CommandFailed(code, "\n".join(lines), advice, {"problem": reply.body})


@contextmanager
def connect(session: Session, url: str | None, scope: str) -> Iterator[Client]:
    """A client for the gateway of these settings, or for `url`, with the user's own key or a passing one."""
    if url is not None or client_key() is not None:
        yield anonymous(session, url)
        return
    config, ledger = session.config(), session.ledger()
    now = ledger.clock()
    key, text = ledger.keys.create("this machine", [scope], now, now + _PASSING_KEY_SECONDS)
    try:
        yield Client(config.server.url, text)
    finally:
        ledger.keys.forget(key.id)
        ledger.close()


def anonymous(session: Session, url: str | None) -> Client:
    """A client with the user's own key, if there is one, and none otherwise; touches no ledger."""
    return Client((url or session.config().server.url).rstrip("/"), client_key())
