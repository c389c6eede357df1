"""The health routes: given snapshots first, then real checks and a real runner
behind real HTTP.
"""

from __future__ import annotations

import hmac
import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator
from dataclasses import replace
from hmac import compare_digest
from pathlib import Path
from typing import Any
from wsgiref.validate import validator

import pytest
from flask import Flask, jsonify, request
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event
from werkzeug.serving import make_server
from werkzeug.test import Client

from gpt_cursor_runner.config import Config, Server, State
from gpt_cursor_runner.gateway.guard import ConcurrencyLimit, InFlight
from gpt_cursor_runner.gateway.health.history import HealthHistoryApi
from gpt_cursor_runner.gateway.health.routes import MAX_FRESH, HealthApp
from gpt_cursor_runner.gateway.key_cache import KeyCache
from gpt_cursor_runner.gateway.writer import Writer
from gpt_cursor_runner.health.monitor.model import (
    CheckStatus,
    Criticality,
    Identity,
    Metrics,
    Overall,
    Snapshot,
)
from gpt_cursor_runner.health.monitor.monitor import TICK_SECONDS, Monitor
from gpt_cursor_runner.health.monitor.sampler import Sampler
from gpt_cursor_runner.ledger.ledger import Ledger
from gpt_cursor_runner.ledger.queries import QueueFacts
from gpt_cursor_runner.wiring.probes import RequestParts, watch_gateway
from tests.gateway.builders import problem
from tests.gateway.health.test_view import USERS_SAMPLE, missing
from tests.health import runner_process
from tests.health.builders import NOW, Clock, check, gateway_checks, snapshot, until

ME = Identity("instance-1", 5555, "3.1.1")


class FakeMonitor:
    """Returns the snapshot that a test sets, and fails without one."""

    def __init__(self) -> None:
        self.latest: Snapshot | None = snapshot(*gateway_checks())
        self.reads = 0
        self.refreshes = 0
        self.fresh_may_end = threading.Event()
        self.fresh_may_end.set()

    def snapshot(self) -> Snapshot:
        self.reads += 1
        if self.latest is None:
            raise RuntimeError("no snapshot at /srv/secret")
        return self.latest

    def refresh(self) -> None:
        self.refreshes += 1
        assert self.fresh_may_end.wait(60)


@pytest.fixture
def monitor() -> FakeMonitor:
    return FakeMonitor()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def key_cache(ledger: Ledger) -> KeyCache:
    return KeyCache(ledger.keys, time.time)


@pytest.fixture
def app(monitor: FakeMonitor, clock: Clock, key_cache: KeyCache, ledger: Ledger) -> HealthApp:
    return HealthApp(
        monitor, ME, key_cache, HealthHistoryApi(ledger.alerts, ledger.uptime, ledger.clock), clock
    )


class Closing(Client):
    """Closes the responses, which the validator demands of a server."""

    def open(self, *arguments: Any, **options: Any) -> Any:
        return super().open(*arguments, buffered=True, **options)


@pytest.fixture
def client(app: HealthApp) -> Client:
    return Closing(validator(app))


@pytest.fixture
def owner(ledger: Ledger, key_cache: KeyCache) -> dict[str, str]:
    """The header of a key with the scope `read`."""
    return bearing(ledger, key_cache, "read")


def bearing(ledger: Ledger, key_cache: KeyCache, *scopes: str) -> dict[str, str]:
    _, text = ledger.keys.create("owner", scopes, time.time())
    key_cache.refresh()
    return {"Authorization": f"Bearer {text}"}


DEGRADED = gateway_checks(
    runner=check("runner", CheckStatus.FAIL, Criticality.IMPAIRING, code="down")
)
UNKNOWN = gateway_checks(filesystem=check("filesystem", CheckStatus.FAIL, code="read_only"))
ROWS = [
    # word, checks, seconds later, /health, /readyz
    ("healthy", gateway_checks(), 0, 200, 200),
    ("degraded", DEGRADED, 0, 200, 200),
    ("unknown", UNKNOWN, 0, 503, 503),
    ("error", gateway_checks(), 6, 503, 503),
]


@pytest.mark.parametrize(
    ("word", "checks", "later", "status", "ready"), ROWS, ids=[row[0] for row in ROWS]
)
def test_the_http_status_of_each_overall_status(
    client, monitor, clock, word, checks, later, status, ready
):
    monitor.latest = snapshot(*checks)
    clock.now += later
    answer = client.get("/health")
    assert (answer.status_code, answer.json["overall_status"]) == (status, word)
    assert client.head("/health").status_code == status and client.head("/health").data == b""
    soft = client.get("/health?http=200")
    assert (soft.status_code, soft.json) == (200, answer.json)
    assert client.get("/readyz").status_code == ready
    assert client.get("/livez").status_code == 200


def test_before_the_first_runs_nothing_is_proven(client, monitor):
    monitor.latest = snapshot(check("filesystem", None), check("queue", None))
    answer = client.get("/health")
    assert (answer.status_code, answer.json["reasons"]) == (
        503,
        ["filesystem.starting", "queue.starting"],
    )
    assert [client.get(path).status_code for path in ("/startupz", "/readyz", "/livez")] == [
        503,
        503,
        200,
    ]


def test_startup_is_over_once_every_critical_check_ran_even_if_it_failed(client, monitor):
    monitor.latest = snapshot(*UNKNOWN)
    assert client.get("/startupz").status_code == 200
    assert client.get("/startupz").json == {"started": True, "reasons": ["filesystem.read_only"]}


def test_readyz_has_a_retry_after_while_it_is_not_ready(client, monitor):
    monitor.latest = snapshot(*UNKNOWN)
    answer = client.get("/readyz")
    assert (answer.json, answer.headers["Retry-After"]) == (
        {"ready": False, "reasons": ["filesystem.read_only"]},
        "5",
    )
    monitor.latest = snapshot(*gateway_checks())
    assert "Retry-After" not in client.get("/readyz").headers


@pytest.mark.parametrize("path", ["/health", "/livez", "/readyz", "/startupz"])
def test_no_cache_may_keep_an_answer(client, path):
    answer = client.get(path)
    assert (answer.headers["Cache-Control"], answer.content_type) == (
        "no-store",
        "application/json",
    )


def test_only_the_age_changes_between_two_snapshots(client, clock):
    first = client.get("/health").json
    clock.now += 0.5
    second = client.get("/health").json
    assert second.pop("age_ms") - first.pop("age_ms") == 500
    assert first == second


def test_a_reading_becomes_stale_between_two_snapshots(client, monitor, clock):
    monitor.latest = snapshot(*gateway_checks(queue=check("queue", age=3.0)))
    assert client.get("/health").json["overall_status"] == "healthy"
    clock.now += 1.01
    answer = client.get("/health")
    assert (answer.status_code, answer.json["reasons"]) == (503, ["queue.stale"])


def test_a_publication_shows_at_once(client, monitor):
    assert client.get("/health").json["components"]["fs_writable"] is True
    monitor.latest = snapshot(*UNKNOWN)
    assert client.get("/health").json["components"]["fs_writable"] is False


@pytest.mark.parametrize(("path", "status"), [("/health", 503), ("/health?http=200", 200)])
def test_there_is_an_answer_when_the_monitor_fails(client, monitor, path, status):
    monitor.latest = None
    answer = client.get(path)
    assert (answer.status_code, answer.json["overall_status"]) == (status, "error")
    assert answer.json["reasons"] == ["health_engine.failed"]
    assert {where.rsplit("/")[-1] for where in missing(USERS_SAMPLE, answer.json)} == {
        "count",
        "percent",
        "bytes_recv",
    }
    assert answer.json["timestamp"][:10] == time.strftime("%Y-%m-%d", time.gmtime())
    assert b"secret" not in answer.data and answer.data.index(b"overall_status") < 10


def test_checks_are_shown_with_a_key_only(client, owner):
    assert b"checks" not in client.get("/health?verbose").data
    body = client.get("/health", headers=owner).json
    assert list(body["checks"]) == ["web", "port", "filesystem", "queue", "webhook", "runner"]
    assert next(iter(body)) == "overall_status"


def test_a_key_without_the_scope_gets_the_public_body_and_no_check(client, ledger, key_cache):
    sender = bearing(ledger, key_cache, "submit")
    assert b"checks" not in client.get("/health", headers=sender).data
    problem(client.get("/health/checks/web", headers=sender), 403, "scope_missing")


def test_the_draft_body_is_selected_by_accept(client, monitor):
    monitor.latest = snapshot(*UNKNOWN)
    answer = client.get(
        "/health", headers={"Accept": "application/health+json, application/json;q=0.5"}
    )
    assert (answer.status_code, answer.content_type) == (503, "application/health+json")
    assert json.loads(answer.data)["status"] == "fail"


@pytest.mark.parametrize("raised", [SystemExit, RecursionError, MemoryError, KeyboardInterrupt])
def test_there_is_an_answer_for_every_kind_of_exception(monitor, key_cache, ledger, raised):
    def broken() -> float:
        raise raised("/srv/secret")

    client = Closing(
        HealthApp(
            monitor,
            ME,
            key_cache,
            HealthHistoryApi(ledger.alerts, ledger.uptime, ledger.clock),
            broken,
        )
    )
    assert (
        client.get("/health").status_code,
        json.loads(client.get("/health").data)["overall_status"],
    ) == (
        503,
        "error",
    )
    for path in ("/livez", "/readyz", "/startupz", "/metrics"):
        answer = client.get(path)
        problem(answer, 503, "health_engine_failed")
        assert answer.headers["Retry-After"] == "5" and b"secret" not in answer.data


@pytest.mark.parametrize(
    "path", ["/health", "/livez", "/readyz", "/startupz", "/metrics", "/health/history"]
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_only_get_and_head_are_allowed(client, path, method):
    answer = client.open(path, method=method)
    problem(answer, 405, "method")
    assert answer.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", ["/", "/health/", "/healthz", "/health/checks", "/webhook"])
def test_alone_it_answers_its_own_paths_only(client, path):
    problem(client.get(path), 404, "no_such_route")


def test_before_another_application_it_passes_all_other_requests_on(app):
    client = Client(
        app.before(lambda environ, start_response: (start_response("200 OK", []), [b"inner"])[1])
    )
    assert client.get("/webhook").data == client.post("/").data == b"inner"
    assert b'"status": "pass"' in client.get("/livez").data


@pytest.mark.parametrize("path", ["/readyz", "/startupz", "/livez"])
def test_verbose_adds_the_checks_with_a_key_only(client, monitor, owner, path):
    monitor.latest = snapshot(*UNKNOWN)
    checks = client.get(f"{path}?verbose", headers=owner).json["checks"]
    assert checks["filesystem"] == {"status": "fail", "code": "read_only"}
    assert len(checks) == 6
    assert "checks" not in client.get(path, headers=owner).json
    assert "checks" not in client.get(f"{path}?verbose").json


def test_a_key_may_exclude_a_check_from_the_verdict(client, monitor, owner):
    monitor.latest = snapshot(
        *gateway_checks(runner=DEGRADED[-1], filesystem=UNKNOWN[2]), overall=Overall.UNKNOWN
    )
    answer = client.get("/health?exclude=filesystem,unknown", headers=owner)
    body = answer.json
    assert (answer.status_code, body["overall_status"], body["status"], body["ready"]) == (
        200,
        "degraded",
        "warn",
        True,
    )
    assert (body["excluded"], body["reasons"], body["since"]) == (
        ["filesystem"],
        ["runner.down"],
        None,
    )
    assert (
        body["checks"]["filesystem"]["status"] == "fail"
        and body["components"]["fs_writable"] is False
    )
    public = client.get("/health?exclude=filesystem")
    assert (public.status_code, "excluded" in public.json) == (503, False)


def test_fresh_readings_need_a_key(client, monitor, owner):
    client.get("/health?fresh=1")
    client.get("/health?fresh=1", headers={"Authorization": "Bearer wrong"})
    assert monitor.refreshes == 0
    assert client.get("/health?fresh=1", headers=owner).status_code == 200
    assert monitor.refreshes == 1


def test_when_too_many_wait_for_fresh_readings_the_next_gets_the_latest(app, monitor, owner):
    monitor.fresh_may_end.clear()
    waiting = [
        threading.Thread(target=lambda: Client(app).get("/health?fresh=1", headers=owner))
        for _ in range(MAX_FRESH)
    ]
    for thread in waiting:
        thread.start()
    assert until(lambda: monitor.refreshes == MAX_FRESH, 60)
    assert Client(app).get("/health?fresh=1", headers=owner).status_code == 200
    assert monitor.refreshes == MAX_FRESH
    monitor.fresh_may_end.set()
    for thread in waiting:
        thread.join()
    assert Client(app).get("/health?fresh=1", headers=owner).status_code == 200
    assert monitor.refreshes == MAX_FRESH + 1


def test_one_check_is_shown_with_a_key_only(client, monitor, owner):
    monitor.latest = snapshot(*UNKNOWN)
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        answer = client.get("/health/checks/filesystem", headers=headers)
        problem(answer, 401, "no_key")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    answer = client.get("/health/checks/filesystem", headers=owner)
    assert (answer.status_code, answer.json["name"], answer.json["code"]) == (
        503,
        "filesystem",
        "read_only",
    )
    assert client.get("/health/checks/filesystem?http=200", headers=owner).json == answer.json
    assert client.get("/health/checks/filesystem?http=200", headers=owner).status_code == 200
    assert client.get("/health/checks/web", headers=owner).status_code == 200


def test_an_unknown_check_is_404_with_the_names_of_the_others(client, owner):
    body = problem(client.get("/health/checks/disk", headers=owner), 404, "no_such_check")
    assert body["checks"] == ["web", "port", "filesystem", "queue", "webhook", "runner"]


def test_metrics_are_rendered_once_for_a_snapshot_and_can_be_parsed(client, monitor):
    first = client.get("/metrics")
    assert (first.status_code, first.content_type) == (
        200,
        "text/plain; version=0.0.4; charset=utf-8",
    )
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(first.text)
        for sample in family.samples
    }
    assert samples["gcr_health_overall", "healthy"] == 1
    assert samples["gcr_check_status", "runner", "ok"] == 1
    assert client.get("/metrics").data == first.data
    monitor.latest = snapshot(*UNKNOWN)
    assert 'gcr_health_overall{state="unknown"} 1.0' in client.get("/metrics").text


def test_a_missing_a_wrong_and_a_right_key_cost_one_comparison_each(
    client, owner, ledger, monkeypatch
):
    lengths: list[tuple[int, int]] = []
    queries: list[str] = []

    def compare(expected: str, actual: str) -> bool:
        lengths.append((len(expected), len(actual)))
        return compare_digest(expected, actual)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    event.listen(
        ledger.database.engine,
        "before_cursor_execute",
        lambda *arguments: queries.append(arguments[2]),
    )
    wrong = {"Authorization": "Bearer gcr_0123456789ab_" + "A" * 43}
    for headers in ({}, wrong, owner):
        assert client.get("/health", headers=headers).status_code == 200
    assert (lengths, queries) == ([(64, 64)] * 3, [])


FULL = {
    "message": "m" * 500,
    "remedy": "r" * 500,
    "data": {f"k{n}": "\u00e4" * 38 for n in range(95)},
}


def many(status: CheckStatus = CheckStatus.FAIL) -> list[Any]:
    code, names = (
        "a_code_that_is_as_long_as_codes_may_be_1",
        [f"own-check-with-a-long-name-{n}" for n in range(44)],
    )
    return [check(name, status, Criticality.IMPAIRING, code=code, result=FULL) for name in names]


def test_the_answers_stay_small_however_many_checks_there_are(client, monitor, owner):
    unread = Metrics.unread(NOW)
    groups = {"cpu": unread.cpu, "memory": unread.memory, "network": unread.network}
    why = {
        f"{group}.{name}": "two_samples_needed" for group, names in groups.items() for name in names
    }
    monitor.latest = replace(
        snapshot(*gateway_checks(), *many()), metrics=replace(unread, unreadable=why)
    )
    public, detailed = client.get("/health"), client.get("/health", headers=owner)
    assert len(public.data) < 4096 and b"overall_status" in public.data[:512]
    assert len(public.json["reasons"]) + public.json["reasons_omitted"] == 44
    assert len(detailed.data) < 65_536 and b"overall_status" in detailed.data[:512]
    assert len(detailed.json["checks"]) == 50 and len(detailed.json["reasons"]) == 44
    short = detailed.json["checks"]["own-check-with-a-long-name-0"]
    assert (short["data_omitted"], short["data"]) == (True, {})
    assert short["message"].startswith("mmm")
    complete = client.get("/health/checks/own-check-with-a-long-name-0", headers=owner).json
    assert complete["data"] == FULL["data"]


def test_a_hundred_polls_run_no_check_and_read_no_ledger(app, monitor, ledger):
    queries: list[str] = []
    event.listen(
        ledger.database.engine,
        "before_cursor_execute",
        lambda *arguments: queries.append(arguments[2]),
    )
    threads = [threading.Thread(target=lambda: Client(app).get("/health")) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (monitor.reads, monitor.refreshes, queries) == (100, 0, [])


@pytest.mark.parametrize("nonce", ["abc-DEF_123", "x" * 64])
def test_livez_returns_the_nonce_and_its_instance(client, nonce):
    assert client.get(f"/livez?nonce={nonce}").json == {
        "status": "pass",
        "instance_id": "instance-1",
        "nonce": nonce,
    }


@pytest.mark.parametrize("nonce", ["", "x" * 65, "<script>", "a b", "a\nb", "abc\n", "ä"])
def test_livez_returns_no_nonce_that_is_long_or_has_other_characters(client, nonce):
    assert client.get("/livez", query_string={"nonce": nonce}).json["nonce"] is None


def test_livez_fails_only_when_the_monitor_has_been_dead_for_long(client, clock):
    clock.now += 30
    assert client.get("/livez?nonce=n").status_code == 200
    clock.now += 0.1
    answer = client.get("/livez?nonce=n")
    assert (answer.status_code, answer.json) == (
        503,
        {"status": "fail", "instance_id": "instance-1", "nonce": "n"},
    )


def test_a_failing_disk_does_not_affect_livez(client, monitor):
    monitor.latest = snapshot(
        *[replace(state, reading=None, finished_at=None) for state in UNKNOWN], ticked_at=NOW
    )
    assert client.get("/livez").status_code == 200


class OpenLedger:
    """A ledger that accepts every write, until a test sets `trouble`."""

    trouble: Exception | None = None

    def probe_write(self) -> None:
        if self.trouble:
            raise self.trouble

    def queue_facts(self, *, blocked: Collection[str] = ()) -> QueueFacts:
        return QueueFacts(
            queued=0, running=0, held=0, failed=0, oldest_queued_at=None, last_landed_at=None
        )


class Gateway:
    """Real HTTP, real checks, a real runner process."""

    def __init__(self, directory: Path, real_ledger: Ledger) -> None:
        self.directory = directory
        self.ledger = OpenLedger()
        app = Flask("gateway")
        self.server = make_server("127.0.0.1", 0, app, threaded=True)
        identity = Identity("instance-1", self.server.port)
        config = Config(server=Server(port=self.server.port), state=State(dir=directory))
        writer = Writer(real_ledger.intake)
        writer.start()
        self.monitor = Monitor(Sampler())
        requests = RequestParts(ConcurrencyLimit(), InFlight(), writer)
        watch_gateway(self.monitor, config, self.ledger, identity, requests)
        app.add_url_rule(
            "/pulse",
            view_func=lambda: jsonify(instance_id="instance-1", nonce=request.args["nonce"]),
        )
        health = HealthApp(
            self.monitor,
            identity,
            KeyCache(real_ledger.keys, real_ledger.clock),
            HealthHistoryApi(real_ledger.alerts, real_ledger.uptime, real_ledger.clock),
        )
        app.wsgi_app = health.before(app.wsgi_app)  # type: ignore[method-assign, assignment]
        self.monitor.start()
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def health(self) -> dict[str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        connection.request("GET", "/health")
        body: dict[str, Any] = json.load(connection.getresponse())
        connection.close()
        return body

    def becomes(self, overall: str, *reasons: str) -> bool:
        """Wait until `/health` has this status and these reasons."""
        return until(lambda: self.state() == (overall, [*reasons]), 60)

    def state(self) -> tuple[str, list[str]]:
        body = self.health()
        return body["overall_status"], body["reasons"]

    def close(self) -> None:
        self.monitor.stop()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def gateway(tmp_path: Path, ledger: Ledger) -> Iterator[Gateway]:
    (tmp_path / "patches").mkdir()
    gateway = Gateway(tmp_path, ledger)
    yield gateway
    gateway.close()


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, runner_process.__file__, str(tmp_path), "beats"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout and process.stdout.readline() == b"here\n"
    yield process
    process.kill()
    process.communicate()


def test_a_real_gateway_is_healthy_and_detects_a_killed_runner(gateway, runner):
    assert gateway.becomes("healthy")
    components = gateway.health()["components"]
    assert (components["ghost_runner"], components[f"port_{gateway.server.port}_bound"]) == (
        "up",
        True,
    )
    # The lost lock is a fact, which counts at the next run: within two seconds.
    (spec,) = [check.spec for check in gateway.monitor.snapshot().checks if check.name == "runner"]
    assert spec.interval_seconds + TICK_SECONDS < 2.0
    runner.kill()
    assert gateway.becomes("degraded", "runner.down")
    assert gateway.health()["components"]["webhook_endpoint"] == "operational"


def test_a_real_gateway_reports_the_part_that_fails_and_recovers(gateway, runner):
    assert gateway.becomes("healthy")
    gateway.ledger.trouble = OSError("database disk image is malformed")
    assert gateway.becomes("unknown", "queue.corrupt")
    assert gateway.health()["components"]["webhook_endpoint"] == "failing"
    gateway.ledger.trouble = None
    assert gateway.becomes("healthy")
