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
    CheckStatus,
    Criticality,
    Identity,
    Overall,
    Snapshot,
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


def public(current: Snapshot, now: float = NOW, identity: Identity = ME) -> dict[str, Any]:
    return view.public_body(current, judge(current, now), identity, now)


def detailed(current: Snapshot, now: float = NOW) -> dict[str, Any]:
    return view.detailed_body(current, judge(current, now), ME, now)


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


def test_the_users_keys_are_present_when_nothing_is_known():
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


def test_the_components_of_a_healthy_gateway():
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
@pytest.mark.parametrize("status", [CheckStatus.FAIL, CheckStatus.UNKNOWN, None])
def test_a_boolean_is_false_unless_it_is_proven(name, component, status):
    assert (
        public(snapshot(*gateway_checks(**{name: check(name, status)})))["components"][component]
        is False
    )
    stale = gateway_checks(**{name: check(name, age=60)})
    assert public(snapshot(*stale))["components"][component] is False


def test_a_gateway_on_another_port_does_not_prove_5555():
    components = public(snapshot(*gateway_checks()), identity=replace(ME, port=5790))["components"]
    assert (components["port_5790_bound"], components["port_5555_bound"]) == (True, False)


def runner(state: str, status: CheckStatus = CheckStatus.FAIL, **others: Any) -> CheckState:
    details = {"data": {"state": state, "pid": 4711}}
    return check("runner", status, Criticality.IMPAIRING, result=details, **others)


@pytest.mark.parametrize("state", ["up", "down", "stalled", "starting"])
def test_the_runners_state_is_that_of_its_probe(state):
    assert (
        public(snapshot(*gateway_checks(runner=runner(state))))["components"]["ghost_runner"]
        == state
    )


def test_a_stale_or_late_result_makes_the_runner_unknown():
    for old in (
        runner("up", CheckStatus.OK, age=60),
        runner("up", CheckStatus.OK, running_since=NOW - 9),
    ):
        body = public(snapshot(*gateway_checks(runner=old)))
        assert (body["components"]["ghost_runner"], body["overall_status"]) == (
            "unknown",
            "degraded",
        )


@pytest.mark.parametrize("name", ["web", "port", "filesystem", "queue", "webhook"])
def test_the_webhook_works_only_with_every_critical_check(name):
    failing = public(snapshot(*gateway_checks(**{name: check(name, CheckStatus.FAIL)})))
    unseen = public(snapshot(*gateway_checks(**{name: check(name, None)})))
    assert failing["components"]["webhook_endpoint"] == "failing"
    assert unseen["components"]["webhook_endpoint"] == "unknown"


def test_a_failing_runner_does_not_make_an_unseen_webhook_failing():
    current = snapshot(*gateway_checks(web=check("web", None), runner=runner("down")))
    assert public(current)["components"]["webhook_endpoint"] == "unknown"


def test_the_disk_is_that_of_the_last_filesystem_check_while_it_is_fresh():
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


def test_a_figure_that_cannot_be_read_has_a_reason():
    denied = replace(metrics(), unreadable={"network.bytes_sent": "access_denied"})
    current = replace(snapshot(*gateway_checks()), metrics=denied)
    assert public(current)["system_metrics"]["unreadable"] == {
        "network.bytes_sent": "access_denied"
    }
    old = public(current, NOW + 16)["system_metrics"]["unreadable"]
    assert old == {"cpu": "stale", "memory": "stale", "network": "stale"}


def test_the_figures_have_their_age():
    assert public(snapshot(*gateway_checks()), NOW + 0.74)["system_metrics"]["sample_age_ms"] == 740


def impairing(name: str, status: CheckStatus = CheckStatus.OK, **others: Any) -> CheckState:
    return check(name, status, Criticality.IMPAIRING, **others)


def test_optional_components_are_shown_when_they_are_configured():
    optional = (
        impairing("repositories", CheckStatus.WARN),
        impairing("external_runner", CheckStatus.FAIL, result={"data": {"state": "down"}}),
        impairing("tunnel_process"),
        impairing("tunnel_edge", CheckStatus.FAIL),
        impairing("tunnel_public", CheckStatus.UNKNOWN),
        impairing("alerts"),
        impairing("monitor", CheckStatus.WARN),
        impairing("backup-is-fresh", CheckStatus.FAIL),
    )
    shown = public(snapshot(*gateway_checks(), *optional))["components"]
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
    current = snapshot(*gateway_checks(queue=check("queue", age=2.5)))
    assert (public(current)["age_ms"], public(current, NOW + 1)["age_ms"]) == (2500, 3500)
    dead = snapshot(*gateway_checks(queue=check("queue", age=60)))
    assert public(dead)["age_ms"] == 100
    assert public(snapshot(check("queue", None), ticked_at=NOW - 2))["age_ms"] == 2000


def test_since_is_the_last_tick_when_only_time_changed_the_answer():
    current = snapshot(*gateway_checks())
    assert public(current)["since"] == "2027-01-15T07:59:10.000000+00:00"
    assert (
        public(current, NOW + 60)["since"]
        == public(current)["observed_at"]
        == "2027-01-15T08:00:00.000000+00:00"
    )
    assert public(current)["timestamp"] == "2027-01-15T08:00:00.000000"


def test_messages_and_data_are_shown_with_a_key_only():
    secret = {
        "message": "password=hunter2 on db.internal",
        "data": {"directory": "/srv/secret", "pid": 4711},
    }
    checks = gateway_checks(
        filesystem=check("filesystem", CheckStatus.FAIL, code="read_only", result=secret)
    )
    current = snapshot(*checks)
    metrics_text = exposition(current, judge(current, NOW), ME, NOW).decode()
    assert "filesystem" in metrics_text
    for text in (
        json.dumps(public(current)),
        json.dumps(ietf_body(current, judge(current, NOW), ME, NOW)),
        metrics_text,
    ):
        assert not [word for word in ("hunter2", "internal", "/srv", "4711") if word in text]
    assert detailed(current)["checks"]["filesystem"]["message"] == secret["message"]


def test_a_verdict_with_exclusions_lists_them_and_has_no_since():
    current = snapshot(
        *gateway_checks(queue=check("queue", CheckStatus.FAIL)), overall=Overall.UNKNOWN
    )
    partial = view.with_exclusions(detailed(current), judge(current, NOW, ["queue"]), ["queue"])
    assert (partial["overall_status"], partial["since"], partial["excluded"]) == (
        "healthy",
        None,
        ["queue"],
    )
    same = view.with_exclusions(detailed(current), judge(current, NOW, ["web"]), ["web"])
    assert (same["overall_status"], same["since"]) == ("unknown", detailed(current)["since"])


def test_the_worst_reasons_are_shown_and_the_others_counted():
    checks = [
        impairing(f"own-check-{number}", CheckStatus.FAIL, code="c" * 40) for number in range(60)
    ]
    body = public(snapshot(*gateway_checks(queue=check("queue", CheckStatus.FAIL)), *checks))
    assert (
        body["reasons"][0] == "queue.fail" and len(body["reasons"]) + body["reasons_omitted"] == 61
    )
    assert len(detailed(snapshot(*checks))["reasons"]) == 60


def test_the_overall_status_is_first_and_the_answer_is_small():
    text = json.dumps(public(snapshot(*gateway_checks())))
    assert text.index("overall_status") < 10 and len(text) < 4096


def test_a_check_has_all_fields_before_its_first_run():
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


def test_a_check_shows_its_last_result_beside_the_damped_one():
    noisy = replace(
        check("web"),
        raw=replace(check("web", CheckStatus.FAIL).raw or pytest.fail()),
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
def test_the_short_status_of_each_overall_status(overall, status):
    current = snapshot()
    verdict = replace(judge(current, NOW), overall=overall)
    assert view.public_body(current, verdict, ME, NOW)["status"] == status
