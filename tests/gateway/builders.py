"""A gateway without a server: the built application, its running writer, and a
client with keys.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from gpt_cursor_runner.config import Config, Repository, Server, State
from gpt_cursor_runner.config.settings import Settings
from gpt_cursor_runner.ledger.ledger import Ledger
from gpt_cursor_runner.wiring.gateway import Gateway, build_gateway
from tests.building import Repo, make_ledger, patch_body

PROBLEM_MEMBERS = {"type", "title", "status", "detail", "instance", "code"}


@dataclass(frozen=True)
class InProcessGateway:
    """A gateway without a server, its repository, its ledger, and a key for
    each scope.
    """

    built: Gateway
    repo: Repo
    ledger: Ledger
    keys: dict[str, str]
    client: FlaskClient
    state_dir: Path

    def call(
        self, method: str, path: str, body: object = None, key: str | None = "all", **headers: str
    ) -> TestResponse:
        """One request; a body that is not bytes is sent as JSON, `key` names a
        scope or is the text of a key.
        """
        sent = {}
        if body is not None:
            sent["Content-Type"] = "application/json"
        if key:
            sent["Authorization"] = f"Bearer {self.keys.get(key, key)}"
        for name, value in headers.items():
            sent[name.replace("_", "-")] = value
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        return self.client.open(path, method=method, data=body, headers=sent)

    def post(self, body: object = None, **named: Any) -> TestResponse:
        """A patch to the webhook; without a body, one that adds a file."""
        return self.call("POST", "/webhook", patch_body() if body is None else body, **named)

    def get(self, path: str, **named: Any) -> TestResponse:
        return self.call("GET", path, **named)

    def ids(self) -> list[str]:
        return [stored.id for stored in self.ledger.queries.page(limit=1000)]

    def move(self, patch_id: str, to: str) -> None:
        """Drive a queued patch to an end, as a runner would leave it."""
        with self.ledger.database.engine.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE patches SET status = ?, updated_at = ? WHERE id = ?",
                (to, time.time(), patch_id),
            )


@contextmanager
def gateway_in(
    directory: Path, repositories: tuple[str, ...] = ("app",), **server: Any
) -> Iterator[InProcessGateway]:
    """A gateway that keeps everything in this directory. Of its threads only
    the writer runs.
    """
    repos = [Repo.create(directory / name) for name in repositories]
    config = Config(
        server=Server(**server),
        state=State(dir=directory / "state"),
        repository=tuple(Repository(name=repo.path.name, path=repo.path) for repo in repos),
    )
    built = build_gateway(Settings(config))
    built.parts.writer.start()
    ledger = make_ledger(directory / "state")
    scopes = {
        "all": ["submit", "read", "approve"],
        "submit": ["submit"],
        "read": ["read"],
        "approve": ["approve"],
    }
    keys = {}
    for name, granted in scopes.items():
        _, keys[name] = ledger.keys.create(f"key {name}", granted, time.time())
    built.parts.keys.refresh()  # health reads the cache alone
    try:
        yield InProcessGateway(
            built, repos[0], ledger, keys, built.app.test_client(), directory / "state"
        )
    finally:
        built.leave()
        ledger.close()


def problem(answer: TestResponse, status: int, code: str | None = None) -> dict[str, Any]:
    """The body of a refusal, after a check of its form."""
    assert answer.status_code == status, answer.get_data(as_text=True)[:500]
    assert answer.content_type == "application/problem+json"
    body: dict[str, Any] = json.loads(answer.data)
    assert set(body) >= PROBLEM_MEMBERS
    assert (body["status"], body["type"]) == (status, f"urn:gcr:problem:{body['code']}")
    assert body["instance"] == f"urn:gcr:request:{answer.headers['X-Request-Id']}"
    assert 0 < len(body["detail"]) <= 300
    assert "Traceback" not in answer.text and 'File "' not in answer.text
    if code is not None:
        assert body["code"] == code
    return body
