"""Requests to a gateway. On its own machine no key need be typed: a temporary
one is created, used and deleted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from gpt_cursor_runner.cli.output import CommandFailed, Exit, Session
from gpt_cursor_runner.system.http_client import RequestFailed, fetch

_TEMPORARY_KEY_SECONDS = 3600.0
_MAX_RESPONSE_BYTES = 64 * 1024 * 1024


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
        """The reply, of any status; ends the command when there is none."""
        all_headers = dict(headers or {})
        if self.key:
            all_headers.setdefault("Authorization", f"Bearer {self.key}")
        try:
            response = fetch(
                method, self.url + path, body, all_headers, seconds, _MAX_RESPONSE_BYTES
            )
        except RequestFailed as error:
            raise self._command_failed(error) from error
        try:
            json_body = json.loads(response.body)
        except (ValueError, RecursionError):
            json_body = None
        if not isinstance(json_body, dict):
            message = (
                f"{self.url} is not a gateway: it answered {response.status} without a JSON object"
            )
            raise CommandFailed(Exit.UNREACHABLE, message, "gcr doctor")
        return Reply(response.status, json_body)

    def _command_failed(self, error: RequestFailed) -> CommandFailed:
        match error.code:
            case "timed_out":
                return CommandFailed(Exit.TIMED_OUT, f"{self.url}: {error}", "gcr status")
            case "bad_url" | "bad_request":  # a key with a line break in it, for one
                message = f"the request cannot be sent: {error}"
                return CommandFailed(Exit.USAGE, message, "gcr doctor")
            case _:
                message = f"no gateway answers at {self.url}: {error}"
                return CommandFailed(Exit.UNREACHABLE, message, "gcr up")

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
    own key or a temporary one.
    """
    given = anonymous(session, url)
    if url is not None or given.key is not None:
        yield given
        return
    with session.ledger() as ledger:
        now = ledger.clock()
        key, text = ledger.keys.create("this machine", scopes, now, now + _TEMPORARY_KEY_SECONDS)
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
