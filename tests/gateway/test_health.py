from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.serving import make_server

from gpt_cursor_runner.gateway.health import health_blueprint
from gpt_cursor_runner.health.model import Identity, Snapshot, Status
from gpt_cursor_runner.health.monitor import Monitor
from gpt_cursor_runner.health.probes import standard_probes
from gpt_cursor_runner.health.sampler import Sampler
from gpt_cursor_runner.ledger.facts import QueueFacts
from tests.health import runner_process
from tests.health.builders import NOW, Clock, check, gateway_checks, snapshot, until
from tests.health.test_view import USERS_SAMPLE, missing

ME = Identity("instance-1", 5555, "3.1.1")


class Shown:
    """Stands where the monitor stands and shows what it is given; without anything it fails."""

    def __init__(self) -> None:
        self.now: Snapshot | None = snapshot(*gateway_checks())

    def snapshot(self) -> Snapshot:
        if self.now is None:
            raise RuntimeError("no snapshot at /srv/secret")
        return self.now


@pytest.fixture
def shown() -> Shown:
    return Shown()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def app_of(shown: Shown, clock: Clock, may_read: Callable[[], bool] = lambda: False) -> FlaskClient:
    app = Flask("gateway")
    app.register_blueprint(health_blueprint(cast(Monitor, shown), ME, may_read, clock))
    return app.test_client()


@pytest.fixture
def client(shown: Shown, clock: Clock) -> FlaskClient:
    return app_of(shown, clock)


DEGRADED = gateway_checks(runner=check("runner", Status.FAIL, gateway_checks()[-1].criticality, code="down"))
UNKNOWN = gateway_checks(filesystem=check("filesystem", Status.FAIL, code="read_only"))
ROWS = [
    # word, checks, seconds later, /health, /readyz
    ("healthy", gateway_checks(), 0, 200, 200),
    ("degraded", DEGRADED, 0, 200, 200),
    ("unknown", UNKNOWN, 0, 503, 503),
    ("error", gateway_checks(), 6, 503, 503),
]


@pytest.mark.parametrize(("word", "checks", "later", "status", "ready"), ROWS, ids=[row[0] for row in ROWS])
def test_the_map_from_words_to_http(client, shown, clock, word, checks, later, status, ready):
    shown.now = snapshot(*checks)
    clock.now += later
    answer = client.get("/health")
    assert (answer.status_code, answer.json["overall_status"]) == (status, word)
    assert client.head("/health").status_code == status and client.head("/health").data == b""
    soft = client.get("/health?http=200")
    assert (soft.status_code, soft.json) == (200, answer.json)
    assert client.get("/readyz").status_code == ready
    assert client.get("/livez").status_code == 200


def test_before_the_first_round_nothing_is_vouched_for(client, shown):
    shown.now = snapshot(check("filesystem", None), check("queue", None))
    answer = client.get("/health")
    assert (answer.status_code, answer.json["reasons"]) == (503, ["filesystem.starting", "queue.starting"])
    assert [client.get(path).status_code for path in ("/startupz", "/readyz", "/livez")] == [503, 503, 200]


def test_startup_is_over_once_every_critical_check_ran_even_if_it_failed(client, shown):
    shown.now = snapshot(*UNKNOWN)
    assert client.get("/startupz").status_code == 200
    assert client.get("/startupz").json == {"started": True, "reasons": ["filesystem.read_only"]}


def test_who_is_not_ready_says_when_to_come_back(client, shown):
    shown.now = snapshot(*UNKNOWN)
    answer = client.get("/readyz")
    assert (answer.json, answer.headers["Retry-After"]) == ({"ready": False, "reasons": ["filesystem.read_only"]}, "5")
    shown.now = snapshot(*gateway_checks())
    assert "Retry-After" not in client.get("/readyz").headers


@pytest.mark.parametrize("path", ["/health", "/livez", "/readyz", "/startupz"])
def test_no_edge_may_keep_an_answer(client, path):
    answer = client.get(path)
    assert (answer.headers["Cache-Control"], answer.content_type) == ("no-store", "application/json")


def test_only_the_age_changes_between_two_publications(client, clock):
    first = client.get("/health").json
    clock.now += 0.5
    second = client.get("/health").json
    assert second.pop("age_ms") - first.pop("age_ms") == 500
    assert first == second


def test_a_reading_turns_stale_between_two_publications(client, shown, clock):
    shown.now = snapshot(*gateway_checks(queue=check("queue", age=3.0)))
    assert client.get("/health").json["overall_status"] == "healthy"
    clock.now += 1.01
    answer = client.get("/health")
    assert (answer.status_code, answer.json["reasons"]) == (503, ["queue.stale"])


def test_a_publication_shows_at_once(client, shown):
    assert client.get("/health").json["components"]["fs_writable"] is True
    shown.now = snapshot(*UNKNOWN)
    assert client.get("/health").json["components"]["fs_writable"] is False


@pytest.mark.parametrize(("path", "status"), [("/health", 503), ("/health?http=200", 200)])
def test_when_everything_fails_there_is_still_an_answer(client, shown, path, status):
    shown.now = None
    answer = client.get(path)
    assert (answer.status_code, answer.json["overall_status"]) == (status, "error")
    assert answer.json["reasons"] == ["health_engine.failed"]
    assert {where.rsplit("/")[-1] for where in missing(USERS_SAMPLE, answer.json)} == {"count", "percent", "bytes_recv"}
    assert answer.json["timestamp"][:10] == time.strftime("%Y-%m-%d", time.gmtime())
    assert b"secret" not in answer.data and answer.data.index(b"overall_status") < 10


def test_the_owner_sees_every_check_and_a_stranger_none(shown, clock):
    assert b"checks" not in app_of(shown, clock).get("/health?verbose").data
    body = json.loads(app_of(shown, clock, lambda: True).get("/health").data)
    assert list(body["checks"]) == ["web", "port", "filesystem", "queue", "webhook", "runner"]
    assert next(iter(body)) == "overall_status"


def test_a_key_store_in_trouble_leaves_the_strangers_answer(shown, clock):
    def broken() -> bool:
        raise OSError("disk I/O error at /srv/secret")

    answer = app_of(shown, clock, broken).get("/health")
    body = json.loads(answer.data)
    assert (answer.status_code, body["overall_status"], "checks" in body) == (200, "healthy", False)


def test_the_draft_shape_for_who_asks_for_it(client, shown):
    shown.now = snapshot(*UNKNOWN)
    answer = client.get("/health", headers={"Accept": "application/health+json, application/json;q=0.5"})
    assert (answer.status_code, answer.content_type) == (503, "application/health+json")
    assert json.loads(answer.data)["status"] == "fail"


@pytest.mark.parametrize("nonce", ["abc-DEF_123", "x" * 64])
def test_livez_echoes_a_nonce_with_its_own_name(client, nonce):
    assert client.get(f"/livez?nonce={nonce}").json == {"status": "pass", "instance_id": "instance-1", "nonce": nonce}


@pytest.mark.parametrize("nonce", ["", "x" * 65, "<script>", "a b", "a\nb", "abc\n", "ä"])
def test_livez_echoes_nothing_long_or_strange(client, nonce):
    assert client.get("/livez", query_string={"nonce": nonce}).json["nonce"] is None


def test_livez_fails_only_when_the_machinery_is_long_dead(client, clock):
    clock.now += 30
    assert client.get("/livez?nonce=n").status_code == 200
    clock.now += 0.1
    answer = client.get("/livez?nonce=n")
    assert (answer.status_code, answer.json) == (503, {"status": "fail", "instance_id": "instance-1", "nonce": "n"})


def test_a_failing_disk_does_not_touch_livez(client, shown):
    shown.now = snapshot(*[replace(one, reading=None, finished_at=None) for one in UNKNOWN], ticked_at=NOW)
    assert client.get("/livez").status_code == 200


class OpenLedger:
    """A ledger that takes everything, until told otherwise."""

    trouble: Exception | None = None

    def probe_write(self) -> None:
        if self.trouble:
            raise self.trouble

    def queue_facts(self) -> QueueFacts:
        return QueueFacts(queued=0, running=0, held=0, failed=0, oldest_queued_at=None, last_landed_at=None)


class Gateway:
    """Real HTTP, real checks, a real runner process."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ledger = OpenLedger()
        app = Flask("gateway")
        self.server = make_server("127.0.0.1", 0, app, threaded=True)
        identity = Identity("instance-1", self.server.port)
        probes = standard_probes(
            state_directory=directory,
            patches_directory=directory / "patches",
            host="127.0.0.1",
            port=self.server.port,
            instance_id=identity.instance_id,
            ledger=self.ledger,
            permits_free=lambda: 48,
            writer_alive=lambda: True,
        )
        self.monitor = Monitor(probes, Sampler())
        app.register_blueprint(health_blueprint(self.monitor, identity, lambda: False))
        self.monitor.start()
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def health(self) -> dict[str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=5)
        connection.request("GET", "/health")
        body: dict[str, Any] = json.load(connection.getresponse())
        connection.close()
        return body

    def says(self, word: str, *reasons: str, within: float = 5.0) -> bool:
        return until(
            lambda: (body := self.health())["overall_status"] == word and body["reasons"] == [*reasons], within
        )

    def close(self) -> None:
        self.monitor.stop()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    (tmp_path / "patches").mkdir()
    one = Gateway(tmp_path)
    yield one
    one.close()


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, runner_process.__file__, str(tmp_path), "beats"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout and process.stdout.readline() == b"here\n"
    yield process
    process.kill()
    process.communicate()


def test_a_whole_gateway_is_healthy_and_a_killed_runner_shows_within_two_seconds(gateway, runner):
    assert gateway.says("healthy")
    components = gateway.health()["components"]
    assert (components["ghost_runner"], components[f"port_{gateway.server.port}_bound"]) == ("up", True)
    runner.kill()
    assert gateway.says("degraded", "runner.down", within=2.0)
    assert gateway.health()["components"]["webhook_endpoint"] == "operational"


def test_a_whole_gateway_says_which_part_fails_and_comes_back(gateway, runner):
    assert gateway.says("healthy")
    gateway.ledger.trouble = OSError("database disk image is malformed")
    assert gateway.says("unknown", "queue.corrupt")
    assert gateway.health()["components"]["webhook_endpoint"] == "failing"
    gateway.ledger.trouble = None
    assert gateway.says("healthy", within=8.0)
