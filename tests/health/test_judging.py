from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from gpt_cursor_runner.health.monitor.judging import ENGINE_STALE_SECONDS, judge
from gpt_cursor_runner.health.monitor.model import CheckState, CheckStatus, Criticality, Overall
from tests.health.builders import NOW, check, snapshot

CRITICAL, IMPAIRING = Criticality.CRITICAL, Criticality.IMPAIRING

# The overall status of one check alone: written out, so that the function is not
# tested against itself.
ALONE = {
    (CRITICAL, "ok"): Overall.HEALTHY,
    (CRITICAL, "warn"): Overall.DEGRADED,
    (CRITICAL, "fail"): Overall.UNKNOWN,
    (CRITICAL, "unknown"): Overall.UNKNOWN,
    (CRITICAL, "starting"): Overall.UNKNOWN,
    (CRITICAL, "late"): Overall.UNKNOWN,
    (CRITICAL, "stale"): Overall.UNKNOWN,
    (IMPAIRING, "ok"): Overall.HEALTHY,
    (IMPAIRING, "warn"): Overall.DEGRADED,
    (IMPAIRING, "fail"): Overall.DEGRADED,
    (IMPAIRING, "unknown"): Overall.DEGRADED,
    (IMPAIRING, "starting"): Overall.DEGRADED,
    (IMPAIRING, "late"): Overall.DEGRADED,
    (IMPAIRING, "stale"): Overall.DEGRADED,
}
WORST_LAST = [Overall.HEALTHY, Overall.DEGRADED, Overall.UNKNOWN, Overall.ERROR]


def check_in(name: str, criticality: Criticality, state: str) -> CheckState:
    if state == "starting":
        return check(name, None, criticality)
    if state == "late":
        return check(name, CheckStatus.OK, criticality, running_since=NOW - 2)
    if state == "stale":
        return check(name, CheckStatus.OK, criticality, age=5)
    return check(name, CheckStatus(state), criticality)


@pytest.mark.parametrize("engine_is_dead", [False, True])
@pytest.mark.parametrize(("first", "second"), list(product(ALONE, ALONE)))
def test_every_pair_of_checks_has_the_worse_status_of_the_two(first, second, engine_is_dead):
    published = snapshot(
        check_in("a", *first), check_in("b", *second), ticked_at=NOW - 6 if engine_is_dead else NOW
    )
    expected = max(ALONE[first], ALONE[second], key=WORST_LAST.index)
    assert judge(published, NOW).overall is (Overall.ERROR if engine_is_dead else expected)


def test_every_problem_is_listed_the_worst_first():
    verdict = judge(
        snapshot(
            check("runner", CheckStatus.FAIL, IMPAIRING, code="down"),
            check("queue", CheckStatus.WARN, code="backlog"),
            check("port", None),
            check("filesystem", CheckStatus.FAIL, code="read_only"),
            check("web"),
        ),
        NOW,
    )
    assert verdict.reasons == (
        "filesystem.read_only",
        "port.starting",
        "runner.down",
        "queue.backlog",
    )


def test_a_dead_runner_does_not_hide_a_dead_disk():
    both = snapshot(
        check("filesystem", CheckStatus.FAIL),
        check("runner", CheckStatus.FAIL, IMPAIRING, code="down"),
    )
    assert judge(both, NOW).overall is Overall.UNKNOWN
    assert judge(both, NOW).reasons == ("filesystem.fail", "runner.down")


def test_a_reading_becomes_stale_without_a_tick():
    published = snapshot(check("disk", age=0.0))  # 3 intervals of 1 s and a deadline of 1 s
    assert judge(published, NOW + 4.0).overall is Overall.HEALTHY
    late = judge(published, NOW + 4.01)
    assert (late.overall, late.reasons, late.checks[0].stale) == (
        Overall.UNKNOWN,
        ("disk.stale",),
        True,
    )


def test_a_silent_monitor_is_an_error_and_listed_first():
    published = snapshot(check("disk"))
    assert judge(published, NOW + ENGINE_STALE_SECONDS).engine_alive
    dead = judge(published, NOW + ENGINE_STALE_SECONDS + 0.01)
    assert (dead.overall, dead.reasons, dead.ready) == (
        Overall.ERROR,
        ("health_engine.stale", "disk.stale"),
        False,
    )


def test_a_check_that_never_ran_is_starting_and_then_stale():
    published = snapshot(check("disk", None), ticked_at=NOW + 3)
    assert judge(published, NOW + 3).reasons == ("disk.starting",)
    assert judge(published, NOW + 4.01).reasons == ("disk.stale",)


def test_a_run_is_late_from_its_deadline_on():
    published = snapshot(check("disk", running_since=NOW), ticked_at=NOW + 1.0)
    assert judge(published, NOW + 1.0).checks[0].code == "ok"
    stuck = judge(replace(published, ticked_at=NOW + 3.5), NOW + 3.6).checks[0]
    assert (stuck.status, stuck.code, stuck.stuck_for_seconds) == (CheckStatus.UNKNOWN, "late", 3.5)


def test_a_run_that_may_have_ended_since_the_tick_is_not_late():
    published = snapshot(check("disk", running_since=NOW - 0.9), ticked_at=NOW)
    assert judge(published, NOW + 0.3).checks[0].code == "ok"


def test_a_verdict_is_valid_until_its_moment_and_not_longer():
    for age in (0.0, 1.0, 3.5, 9.0):
        published = snapshot(check("disk", age=age), check("port"))
        verdict = judge(published, NOW)
        assert judge(published, verdict.valid_until).reasons == verdict.reasons
        assert judge(published, verdict.valid_until + 0.001).reasons != verdict.reasons


@pytest.mark.parametrize(
    ("state", "ready"),
    [
        (check("queue"), True),
        (check("queue", CheckStatus.WARN), True),
        (check("queue", CheckStatus.FAIL), False),
        (check("queue", CheckStatus.UNKNOWN), False),
        (check("queue", None), False),
        (check("runner", CheckStatus.FAIL, IMPAIRING), True),
    ],
)
def test_ready_means_that_patches_can_be_accepted_and_stored(state, ready):
    assert judge(snapshot(check("port"), state), NOW).ready is ready


def test_started_once_every_critical_check_has_run_with_any_result():
    runner = check("runner", None, IMPAIRING)
    assert not judge(snapshot(check("port"), check("queue", None), runner), NOW).started
    assert judge(snapshot(check("port"), check("queue", CheckStatus.FAIL), runner), NOW).started


def test_no_checks_at_all_prove_nothing_wrong():
    assert judge(snapshot(), NOW).overall is Overall.HEALTHY


@pytest.mark.parametrize("alone", list(ALONE))
def test_a_draining_gateway_is_not_ready_and_at_best_degraded(alone):
    verdict = judge(snapshot(check_in("a", *alone), draining=True), NOW)
    assert verdict.overall is max(ALONE[alone], Overall.DEGRADED, key=WORST_LAST.index)
    assert (verdict.ready, verdict.reasons[-1]) == (False, "gateway.draining")


def test_excluded_checks_are_not_judged():
    both = snapshot(
        check("filesystem", CheckStatus.FAIL),
        check("runner", CheckStatus.FAIL, IMPAIRING, code="down"),
    )
    assert judge(both, NOW, without={"filesystem"}).reasons == ("runner.down",)
    assert (
        judge(both, NOW, without={"filesystem", "runner", "unknown-name"}).overall
        is Overall.HEALTHY
    )


def test_a_flapping_check_that_is_ok_is_a_warning():
    verdict = judge(snapshot(check("web", flapping=True)), NOW)
    assert (verdict.overall, verdict.reasons) == (Overall.DEGRADED, ("web.flapping",))
    down = judge(snapshot(check("web", CheckStatus.FAIL, code="down", flapping=True)), NOW)
    assert (down.overall, down.reasons) == (Overall.UNKNOWN, ("web.down",))
