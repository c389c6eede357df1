"""HTTP client of the commands. On the gateway's own machine it needs no key: a
temporary one is made, used and removed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from gpt_cursor_runner.cli.output import CommandFailed, Exit, Session
from gpt_cursor_runner.patch.faults import Fault
from gpt_cursor_runner.system.http_client import RequestFailed, fetch

# A command that is killed leaves its key behind, which then ends by itself.
_TEMPORARY_KEY_SECONDS = 3600.0
_MAX_RESPONSE_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Reply:
    status: int
    body: dict[str, Any]


@dataclass(frozen=True)
class Client:
    """A gateway's URL and the key to use there."""

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
        """Send one request and return the reply, whatever its status. Raises
        CommandFailed when there is none within `seconds`.
        """
        all_headers = {**self._authorization(), **(headers or {})}
        url = self.url + path
        try:
            response = fetch(method, url, body, all_headers, seconds, _MAX_RESPONSE_BYTES)
        except RequestFailed as error:
            raise self._failure(error) from error
        answer = response.json_object()
        if answer is None:
            status = response.status
            message = f"{self.url} is not a gateway: it answered {status} without a JSON object"
            raise CommandFailed(Exit.UNREACHABLE, message, "gcr doctor")
        return Reply(response.status, answer)

    def expect(self, reply: Reply) -> dict[str, Any]:
        """The body of a successful reply. Raises CommandFailed with every fault
        of an unsuccessful one.
        """
        if reply.status < 400:
            return reply.body
        code, next_command = Exit.FAILED, "gcr send FILE, corrected as described above"
        if reply.status in (401, 403):
            code = Exit.NOT_ALLOWED
            next_command = "gcr key create NAME --scope submit --scope read, then set GCR_KEY"
        elif reply.status >= 500:
            next_command = "gcr status, then the same command again"
        message = "\n".join(_problem_lines(reply))
        raise CommandFailed(code, message, next_command, {"problem": reply.body})

    def _authorization(self) -> dict[str, str]:
        if self.key:
            return {"Authorization": f"Bearer {self.key}"}
        return {}

    def _failure(self, error: RequestFailed) -> CommandFailed:
        match error.code:
            case "timed_out":
                return CommandFailed(Exit.TIMED_OUT, f"{self.url}: {error}", "gcr status")
            case "bad_url" | "bad_request":
                # For example a key with a line break in it.
                message = f"the request cannot be sent: {error}"
                return CommandFailed(Exit.USAGE, message, "gcr doctor")
            case _:
                message = f"no gateway answers at {self.url}: {error}"
                return CommandFailed(Exit.UNREACHABLE, message, "gcr up")


@contextmanager
def connect(session: Session, url: str | None, *scopes: str) -> Iterator[Client]:
    """A client for the gateway of the settings, or for `url`, with the user's
    own key or a temporary one with these scopes.
    """
    client = anonymous(session, url)
    if url is not None or client.key is not None:
        yield client
        return
    with session.ledger() as ledger:
        now = ledger.clock()
        expires_at = now + _TEMPORARY_KEY_SECONDS
        key, text = ledger.keys.create("this machine", scopes, now, expires_at)
        try:
            yield Client(client.url, text)
        finally:
            ledger.keys.forget(key.id)


def anonymous(session: Session, url: str | None) -> Client:
    """A client with the user's own key, if one is set. Reads no ledger."""
    from gpt_cursor_runner.config import client_key

    if url is not None and not url.startswith(("http://", "https://")):
        message = f"{url} is not the address of a gateway"
        raise CommandFailed(Exit.USAGE, message, "gcr status --url http://127.0.0.1:5555")
    return Client((url or session.running_config().server.url).rstrip("/"), client_key())


def _problem_lines(reply: Reply) -> Iterator[str]:
    errors = reply.body.get("errors", [])
    if not errors:
        yield str(reply.body.get("detail", f"HTTP {reply.status}"))
        return
    # The detail only repeats the first of the errors.
    yield "Nothing changed."
    for error in errors:
        fault = Fault.from_json(error)
        yield f"  {fault.where}: {fault.message} ({fault.code})"
        yield f"    {fault.next_step}"
