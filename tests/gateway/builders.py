"""A gateway without a server: the wired application, its writer running, and a
client that holds a key.
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
from gpt_cursor_runner.ledger.ledger import Ledger
from gpt_cursor_runner.wiring.gateway import Gateway, build_gateway
from tests.building import Repo, make_ledger, patch_body

PROBLEM_MEMBERS = {"type", "title", "status", "detail", "instance", "code"}


@dataclass(frozen=True)
class Desk:
    """One gateway, its repository, its ledger, and a key for each scope."""

    gateway: Gateway
    repo: Repo
    ledger: Ledger
    keys: dict[str, str]
    client: FlaskClient
    state_dir: Path

    def call(
        self, method: str, path: str, body: object = None, key: str | None = "all", **headers: str
    ) -> TestResponse:
        """One request; a body that is not bytes goes as JSON, `key` names a
        scope or is the text of a key.
        """
        said = {"Content-Type": "application/json"} if body is not None else {}
        said |= {"Authorization": f"Bearer {self.keys.get(key, key)}"} if key else {}
        said |= {name.replace("_", "-"): value for name, value in headers.items()}
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        return self.client.open(path, method=method, data=data, headers=said)

    def post(self, body: object = None, **named: Any) -> TestResponse:
        """A patch to the webhook; without a body, one that adds a file."""
        return self.call("POST", "/webhook", patch_body() if body is None else body, **named)

    def get(self, path: str, **named: Any) -> TestResponse:
        return self.call("GET", path, **named)

    def ids(self) -> list[str]:
        return [one.id for one in self.ledger.queries.page(limit=1000)]

    def move(self, patch_id: str, to: str) -> None:
        """Drive a queued patch to an end, as a runner would leave it."""
        with self.ledger.database.write() as connection:
            connection.exec_driver_sql(
                "UPDATE patches SET status = ?, updated_at = ? WHERE id = ?",
                (to, time.time(), patch_id),
            )


@contextmanager
def desk_in(place: Path, repositories: tuple[str, ...] = ("app",), **server: Any) -> Iterator[Desk]:
    repos = [Repo.create(place / name) for name in repositories]
    config = Config(
        server=Server(**server),
        state=State(dir=place / "state"),
        repository=tuple(Repository(name=one.path.name, path=one.path) for one in repos),
    )
    gateway = build_gateway(config)
    gateway.parts.writer.start()
    ledger = make_ledger(place / "state")
    scopes = {
        "all": ["submit", "read", "approve"],
        "submit": ["submit"],
        "read": ["read"],
        "approve": ["approve"],
    }
    keys = {
        name: ledger.keys.create(f"key {name}", said, time.time())[1]
        for name, said in scopes.items()
    }
    try:
        yield Desk(gateway, repos[0], ledger, keys, gateway.app.test_client(), place / "state")
    finally:
        gateway.leave()
        ledger.close()


def problem(answer: TestResponse, status: int, code: str | None = None) -> dict[str, Any]:
    """The body of a refusal, after a look at its form."""
    assert answer.status_code == status, answer.get_data(as_text=True)[:500]
    assert answer.content_type == "application/problem+json"
    body: dict[str, Any] = json.loads(answer.data)
    assert set(body) >= PROBLEM_MEMBERS
    assert (body["status"], body["type"]) == (status, f"urn:gcr:problem:{body['code']}")
    assert body["instance"] == f"urn:gcr:request:{answer.headers['X-Request-Id']}"
    assert (
        0 < len(body["detail"]) <= 300
        and "Traceback" not in answer.text
        and 'File "' not in answer.text
    )
    if code is not None:
        assert body["code"] == code
    return body
