"""Speaking HTTP with a gateway. On its own machine no key need be typed: a
passing one is made, used and forgotten.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from gpt_cursor_runner.cli.output import CommandFailed, Exit, Session

_PASSING_KEY_SECONDS = 3600.0
_MAX_ANSWER_BYTES = 64 * 1024 * 1024


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
        try:
            status, text = self._exchange(method, path, body, headers or {}, seconds)
        except TimeoutError as late:
            message = f"{self.url} did not answer within {seconds:.0f} s"
            raise CommandFailed(Exit.TIMED_OUT, message, "gcr status") from late
        except (OSError, http.client.HTTPException) as nobody:
            raise CommandFailed(
                Exit.UNREACHABLE, f"nobody answers at {self.url}: {nobody}", "gcr up"
            ) from nobody
        except ValueError as nonsense:
            # A key with a line end in it, for one: http.client sends no header
            # that is not one line.
            raise CommandFailed(
                Exit.USAGE, f"that cannot be sent: {nonsense}", "gcr doctor"
            ) from nonsense
        try:
            said = json.loads(text)
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict):
            message = (
                f"{self.url} is not a gateway of ours: it answered {status} without a JSON object"
            )
            raise CommandFailed(Exit.UNREACHABLE, message, "gcr doctor")
        return Reply(status, said)

    def _exchange(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], seconds: float
    ) -> tuple[int, bytes]:
        parts = urlsplit(self.url)
        kind = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        connection = kind(parts.hostname or "", parts.port, timeout=seconds)
        said = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        try:
            connection.request(method, parts.path + path, body, {**said, **headers})
            answer = connection.getresponse()
            return answer.status, answer.read(_MAX_ANSWER_BYTES)
        finally:
            connection.close()

    def expect(self, reply: Reply) -> dict[str, Any]:
        """The body of a good reply; ends the command with the problem's words
        otherwise.
        """
        if reply.status < 400:
            return reply.body
        code, advice = Exit.FAILED, "gcr send FILE, mended as told above"
        if reply.status in (401, 403):
            code, advice = (
                Exit.NOT_ALLOWED,
                "gcr key create NAME --scope submit --scope read, then set GCR_KEY",
            )
        elif reply.status >= 500:
            advice = "gcr status, then the same command again"
        errors = reply.body.get("errors", [])
        # The detail is the first of the errors in one sentence.
        lines = [
            "Nothing changed." if errors else str(reply.body.get("detail", f"HTTP {reply.status}"))
        ]
        for error in errors:
            where = error.get("pointer") or error.get("path", "")
            lines += [
                f"  {where}: {error.get('message')} ({error.get('code')})",
                f"    {error.get('hint', '')}",
            ]
        raise CommandFailed(code, "\n".join(lines), advice, {"problem": reply.body})


@contextmanager
def connect(session: Session, url: str | None, *scopes: str) -> Iterator[Client]:
    """A client for the gateway of these settings, or for `url`, with the user's
    own key or a passing one.
    """
    given = anonymous(session, url)
    if url is not None or given.key is not None:
        yield given
        return
    with session.ledger() as ledger:
        now = ledger.clock()
        key, text = ledger.keys.create("this machine", scopes, now, now + _PASSING_KEY_SECONDS)
        try:
            yield Client(given.url, text)
        finally:
            ledger.keys.forget(key.id)


def anonymous(session: Session, url: str | None) -> Client:
    """A client with the user's own key, if there is one, and none otherwise;
    touches no ledger.
    """
    from gpt_cursor_runner.config import client_key

    if url is not None and not url.startswith(("http://", "https://")):
        raise CommandFailed(
            Exit.USAGE,
            f"{url} is no address of a gateway",
            "gcr status --url http://127.0.0.1:5555",
        )
    return Client((url or session.config().server.url).rstrip("/"), client_key())
