from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from gpt_cursor_runner.gateway.health import view
from gpt_cursor_runner.gateway.health.exposition import exposition
from gpt_cursor_runner.gateway.health.ietf import ietf_body
from gpt_cursor_runner.health.monitor.judging import judge
from gpt_cursor_runner.health.monitor.model import (
    CheckState,
    Criticality,
    Identity,
    Overall,
    Snapshot,
    Status,
)
from tests.health.builders import NOW, SPACE, check, gateway_checks, metrics, snapshot

ME = Identity("instance-1", 5555, "3.1.1")

USERS_SAMPLE: dict[str, Any] = {
    "components": {
        "flask_responsive": True,
        "fs_writable": True,
        "ghost_runner": "down",
        "port_5555_bound": False,
        "webhook_endpoint": "operational",
    },
    "overall_status": "degraded",
    "system_metrics": {
        "cpu": {"count": 20, "percent": 16.8},
        "memory": {"percent": 39.7},
        "disk": {"percent": 0.56},
        "network": {"bytes_recv": 6792438784},
    },
    "timestamp": "2025-07-29T22:58:51.312594",
    "version": "3.1.1",
}


def public(seen: Snapshot, now: float = NOW, identity: Identity = ME) -> dict[str, Any]:
    return view.public_body(seen, judge(seen, now), identity, now)


def detailed(seen: Snapshot, now: float = NOW) -> dict[str, Any]:
    return view.detailed_body(seen, judge(seen, now), ME, now)


def missing(sample: dict[str, Any], body: dict[str, Any], at: str = "") -> list[str]:
    """Where a body lacks a key of the sample or has another type there."""
    wrong = []
    for key, value in sample.items():
        if isinstance(value, dict):
            wrong += missing(value, body.get(key, {}), f"{at}/{key}")
        elif type(json.loads(json.dumps(body.get(key)))) is not type(value):
            wrong.append(f"{at}/{key}")
    return wrong


@pytest.mark.parametrize("port", [5555, 5790])
def test_the_users_sample_is_a_part_of_every_answer(port):
    identity = replace(ME, port=port)
    assert missing(USERS_SAMPLE, public(snapshot(*gateway_checks()), identity=identity)) == []


def test_the_users_keys_are_there_when_nothing_is_known():
    body = view.error_body(ME, wall=1_800_000_000.0)
    unread = {"count", "percent", "bytes_recv"}
    assert {where.rsplit("/")[-1] for where in missing(USERS_SAMPLE, body)} == unread
    assert body["system_metrics"]["disk"] == {
        "total": None,
        "used": None,
        "free": None,
        "percent": None,
    }
    assert (body["overall_status"], body["reasons"], body["ready"]) == (
        "error",
        ["health_engine.failed"],
        False,
    )
    assert not any(value is True for value in body["components"].values())
    assert (body["components"]["ghost_runner"], body["components"]["webhook_endpoint"]) == (
        "unknown",
        "unknown",
    )


def test_all_well_reads_so():
    body = public(snapshot(*gateway_checks()))
    assert body["components"] == {
        "flask_responsive": True,
        "fs_writable": True,
        "ghost_runner": "up",
        "port_5555_bound": True,
        "webhook_endpoint": "operational",
        "queue": "ok",
        "health_engine": "ok",
    }
    assert (body["overall_status"], body["status"], body["ready"], body["reasons"]) == (
        "healthy",
        "pass",
        True,
        [],
    )


@pytest.mark.parametrize(
    ("name", "component"),
    [("web", "flask_responsive"), ("filesystem", "fs_writable"), ("port", "port_5555_bound")],
)
@pytest.mark.parametrize("status", [Status.FAIL, Status.UNKNOWN, None])
def test_a_boolean_is_false_when_it_is_not_proven(name, component, status):
    assert (
        public(snapshot(*gateway_checks(**{name: check(name, status)})))["components"][component]
        is False
    )
    stale = gateway_checks(**{name: check(name, age=60)})
    assert public(snapshot(*stale))["components"][component] is False


def test_on_another_port_nothing_is_said_of_5555():
    components = public(snapshot(*gateway_checks()), identity=replace(ME, port=5790))["components"]
    assert (components["port_5790_bound"], components["port_5555_bound"]) == (True, False)


def runner(state: str, status: Status = Status.FAIL, **others: Any) -> CheckState:
    said = {"data": {"state": state, "pid": 4711}}
    return check("runner", status, Criticality.IMPAIRING, result=said, **others)


@pytest.mark.parametrize("state", ["up", "down", "stalled", "starting"])
def test_the_runners_state_is_the_one_its_probe_named(state):
    assert (
        public(snapshot(*gateway_checks(runner=runner(state))))["components"]["ghost_runner"]
        == state
    )


def test_an_old_or_late_word_on_the_runner_is_no_word():
    for old in (runner("up", Status.OK, age=60), runner("up", Status.OK, running_since=NOW - 9)):
        body = public(snapshot(*gateway_checks(runner=old)))
        assert (body["components"]["ghost_runner"], body["overall_status"]) == (
            "unknown",
            "degraded",
        )


@pytest.mark.parametrize("name", ["web", "port", "filesystem", "queue", "webhook"])
def test_the_webhook_works_only_with_all_that_it_stands_on(name):
    failing = public(snapshot(*gateway_checks(**{name: check(name, Status.FAIL)})))
    unseen = public(snapshot(*gateway_checks(**{name: check(name, None)})))
    assert failing["components"]["webhook_endpoint"] == "failing"
    assert unseen["components"]["webhook_endpoint"] == "unknown"


def test_a_failing_runner_does_not_make_an_unseen_webhook_failing():
    seen = snapshot(*gateway_checks(web=check("web", None), runner=runner("down")))
    assert public(seen)["components"]["webhook_endpoint"] == "unknown"


def test_the_disk_is_what_the_filesystem_check_last_saw_while_that_is_fresh():
    assert public(snapshot(*gateway_checks()))["system_metrics"]["disk"] == {
        "total": 1000,
        "used": 100,
        "free": 900,
        "percent": 10.0,
    }
    stuck = gateway_checks(
        filesystem=check("filesystem", result={"data": SPACE}, running_since=NOW - 30)
    )
    assert set(public(snapshot(*stuck))["system_metrics"]["disk"].values()) == {None}


def test_a_figure_that_could_not_be_read_says_why():
    denied = replace(metrics(), unreadable={"network.bytes_sent": "access_denied"})
    seen = replace(snapshot(*gateway_checks()), metrics=denied)
    assert public(seen)["system_metrics"]["unreadable"] == {"network.bytes_sent": "access_denied"}
    old = public(seen, NOW + 16)["system_metrics"]["unreadable"]
    assert old == {"cpu": "stale", "memory": "stale", "network": "stale"}


def test_the_figures_say_how_old_they_are():
    assert public(snapshot(*gateway_checks()), NOW + 0.74)["system_metrics"]["sample_age_ms"] == 740


def impairing(name: str, status: Status = Status.OK, **others: Any) -> CheckState:
    return check(name, status, Criticality.IMPAIRING, **others)


def test_other_parts_stand_beside_the_users_when_they_are_watched():
    beside = (
        impairing("repositories", Status.WARN),
        impairing("external_runner", Status.FAIL, result={"data": {"state": "down"}}),
        impairing("tunnel_process"),
        impairing("tunnel_edge", Status.FAIL),
        impairing("tunnel_public", Status.UNKNOWN),
        impairing("alerts"),
        impairing("monitor", Status.WARN),
        impairing("backup-is-fresh", Status.FAIL),
    )
    shown = public(snapshot(*gateway_checks(), *beside))["components"]
    assert {name: shown[name] for name in list(shown)[5:]} == {
        "queue": "ok",
        "repositories": "warn",
        "alerts": "ok",
        "external_runner": "down",
        "tunnel": "fail",
        "health_engine": "warn",
    }


def test_old_figures_of_the_machine_are_not_shown():
    old = replace(snapshot(*gateway_checks()), metrics=metrics(sampled_at=NOW - 16))
    shown = public(old)["system_metrics"]
    assert (
        set(shown["cpu"].values())
        == set(shown["memory"].values())
        == set(shown["network"].values())
        == {None}
    )
    assert list(shown["cpu"]) == ["count", "percent", "load_average"]


def test_the_age_is_that_of_the_oldest_reading_that_counts():
    seen = snapshot(*gateway_checks(queue=check("queue", age=2.5)))
    assert (public(seen)["age_ms"], public(seen, NOW + 1)["age_ms"]) == (2500, 3500)
    dead = snapshot(*gateway_checks(queue=check("queue", age=60)))
    assert public(dead)["age_ms"] == 100
    assert public(snapshot(check("queue", None), ticked_at=NOW - 2))["age_ms"] == 2000


def test_since_is_the_last_moment_known_when_only_time_changed_the_answer():
    seen = snapshot(*gateway_checks())
    assert public(seen)["since"] == "2027-01-15T07:59:10.000000+00:00"
    assert (
        public(seen, NOW + 60)["since"]
        == public(seen)["observed_at"]
        == "2027-01-15T08:00:00.000000+00:00"
    )
    assert public(seen)["timestamp"] == "2027-01-15T08:00:00.000000"


def test_strangers_see_no_path_pid_host_or_text_and_the_owner_does():
    secret = {
        "message": "password=hunter2 on db.internal",
        "data": {"directory": "/srv/secret", "pid": 4711},
    }
    checks = gateway_checks(
        filesystem=check("filesystem", Status.FAIL, code="read_only", result=secret)
    )
    seen = snapshot(*checks)
    metrics_text = exposition(seen, judge(seen, NOW), ME, NOW).decode()
    assert "filesystem" in metrics_text
    for text in (
        json.dumps(public(seen)),
        json.dumps(ietf_body(seen, judge(seen, NOW), ME, NOW)),
        metrics_text,
    ):
        assert not [word for word in ("hunter2", "internal", "/srv", "4711") if word in text]
    assert detailed(seen)["checks"]["filesystem"]["message"] == secret["message"]


def test_a_verdict_that_leaves_checks_out_says_so_and_claims_no_past():
    seen = snapshot(*gateway_checks(queue=check("queue", Status.FAIL)), overall=Overall.UNKNOWN)
    partial = view.with_exclusions(detailed(seen), judge(seen, NOW, ["queue"]), ["queue"])
    assert (partial["overall_status"], partial["since"], partial["excluded"]) == (
        "healthy",
        None,
        ["queue"],
    )
    same = view.with_exclusions(detailed(seen), judge(seen, NOW, ["web"]), ["web"])
    assert (same["overall_status"], same["since"]) == ("unknown", detailed(seen)["since"])


def test_too_many_reasons_are_counted_and_the_worst_are_shown():
    checks = [impairing(f"own-check-{number}", Status.FAIL, code="c" * 40) for number in range(60)]
    body = public(snapshot(*gateway_checks(queue=check("queue", Status.FAIL)), *checks))
    assert (
        body["reasons"][0] == "queue.fail" and len(body["reasons"]) + body["reasons_omitted"] == 61
    )
    assert len(detailed(snapshot(*checks))["reasons"]) == 60


def test_the_word_comes_first_and_the_answer_is_small():
    text = json.dumps(public(snapshot(*gateway_checks())))
    assert text.index("overall_status") < 10 and len(text) < 4096


def test_every_field_of_a_check_is_there_also_before_it_ran():
    checks = detailed(snapshot(*gateway_checks(port=check("port", None))))["checks"]
    contract = (
        "status, raw, criticality, code, message, duration_ms, deadline_ms, age_ms, stale,"
        " stuck_for_seconds, consecutive_failures, last_ok_at, since, flapping, data, remedy"
    )
    assert {", ".join(body) for body in checks.values()} == {contract}
    assert (checks["port"]["status"], checks["port"]["code"], checks["port"]["raw"]) == (
        "unknown",
        "starting",
        None,
    )


def test_the_owner_sees_the_raw_word_beside_the_damped_one():
    noisy = replace(
        check("web"),
        raw=replace(check("web", Status.FAIL).raw or pytest.fail()),
        consecutive_failures=1,
    )
    body = detailed(snapshot(*gateway_checks(web=noisy)))
    assert (body["checks"]["web"]["status"], body["checks"]["web"]["raw"]) == ("ok", "fail")
    assert body["overall_status"] == "healthy"


@pytest.mark.parametrize(
    ("overall", "status"),
    [
        (Overall.HEALTHY, "pass"),
        (Overall.DEGRADED, "warn"),
        (Overall.UNKNOWN, "fail"),
        (Overall.ERROR, "fail"),
    ],
)
def test_the_short_status_follows_the_word(overall, status):
    seen = snapshot()
    verdict = replace(judge(seen, NOW), overall=overall)
    assert view.public_body(seen, verdict, ME, NOW)["status"] == status
