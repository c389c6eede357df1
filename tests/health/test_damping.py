from __future__ import annotations

from dataclasses import replace

from gpt_cursor_runner.health.monitor.damping import is_flapping, settle
from gpt_cursor_runner.health.monitor.model import CheckState, CheckStatus, Reading
from tests.health.builders import NOW, check, make_spec, reading

OK, FAIL = reading(), reading(CheckStatus.FAIL, "no_answer")


def after(*readings: Reading, state: CheckState | None = None) -> CheckState:
    """The state after runs that returned these readings."""
    state = state or check()
    for number, result in enumerate(readings, start=1):
        began = replace(state, running_since=NOW + number)
        state = settle(began, result, finished_at=NOW + number + 0.1)
    return state


def counted(state: CheckState) -> CheckStatus:
    assert state.reading
    return state.reading.status


def test_one_bad_run_does_not_count_and_two_do():
    assert counted(after(FAIL)) is CheckStatus.OK
    assert counted(after(FAIL, FAIL)) is CheckStatus.FAIL


def test_one_good_run_does_not_recover_and_two_do():
    fallen = after(FAIL, FAIL)
    assert counted(after(OK, state=fallen)) is CheckStatus.FAIL
    assert counted(after(OK, OK, state=fallen)) is CheckStatus.OK


def test_a_fact_counts_at_once_both_ways():
    gone = reading(CheckStatus.FAIL, "down", fact=True)
    back = reading(CheckStatus.OK, "up", fact=True)
    assert counted(after(gone)) is CheckStatus.FAIL
    assert counted(after(gone, back)) is CheckStatus.OK


def test_the_first_good_run_ends_the_wait_of_a_start():
    unseen = check(status=None)
    assert counted(after(FAIL, state=unseen)) is CheckStatus.FAIL
    assert counted(after(FAIL, FAIL, OK, state=unseen)) is CheckStatus.OK
    assert counted(after(OK, FAIL, state=unseen)) is CheckStatus.OK


def test_alternating_noise_never_falls_but_shows_raw():
    state = after(FAIL, OK, FAIL, OK, FAIL)
    assert counted(state) is CheckStatus.OK
    assert state.raw and state.raw.status is CheckStatus.FAIL


def test_a_run_past_its_deadline_is_late_with_any_result():
    state = settle(check(running_since=NOW), OK, finished_at=NOW + 1.5)
    assert state.reading and (state.reading.status, state.reading.code) == (
        CheckStatus.UNKNOWN,
        "late",
    )
    assert state.running_since is None and state.duration_seconds == 1.5
    assert counted(after(OK, state=state)) is CheckStatus.UNKNOWN
    assert counted(after(OK, OK, state=state)) is CheckStatus.OK


def test_failures_in_a_row_are_counted_and_the_last_good_moment_kept():
    state = after(FAIL, FAIL, FAIL)
    assert (state.consecutive_failures, state.last_ok_at) == (3, NOW)
    assert after(OK, state=state).consecutive_failures == 0
    assert after(OK, state=state).last_ok_at == NOW + 1.1


def test_since_moves_only_with_the_status_that_counts():
    fallen = after(FAIL, FAIL)
    assert fallen.since_at == NOW + 2.1
    assert after(reading(CheckStatus.FAIL, "not_bound"), state=fallen).since_at == NOW + 2.1
    # The second of these runs counted.
    assert after(OK, OK, state=fallen).since_at == NOW + 2.1


def test_another_code_of_the_same_status_is_shown_at_once():
    state = after(FAIL, FAIL, reading(CheckStatus.FAIL, "port_foreign"))
    assert state.reading and state.reading.code == "port_foreign"


def test_a_check_falls_and_rises_after_the_runs_of_its_spec():
    patient = check(spec=make_spec(fall=3, rise=1))
    assert counted(after(FAIL, FAIL, state=patient)) is CheckStatus.OK
    fallen = after(FAIL, FAIL, FAIL, state=patient)
    assert counted(fallen) is CheckStatus.FAIL
    assert counted(after(OK, state=fallen)) is CheckStatus.OK


def test_within_its_grace_a_part_that_was_never_ok_is_starting():
    unseen = check(status=None, spec=make_spec(grace_seconds=5.0))
    gone = reading(CheckStatus.FAIL, "down", fact=True, data={"pid": 1})
    starting = after(gone, gone, state=unseen)
    assert starting.reading and (starting.reading.status, starting.reading.code) == (
        CheckStatus.UNKNOWN,
        "starting",
    )
    overdue = after(*[gone] * 5, state=unseen)
    assert overdue.reading and (overdue.reading.status, overdue.reading.code) == (
        CheckStatus.FAIL,
        "down",
    )


def test_the_first_good_run_ends_the_grace():
    unseen = check(status=None, spec=make_spec(grace_seconds=60.0))
    gone = reading(CheckStatus.FAIL, "down", fact=True)
    assert counted(after(OK, gone, state=unseen)) is CheckStatus.FAIL


def test_flapping_follows_the_rule_of_nagios():
    steady, alternating = (
        (CheckStatus.OK,) * 21,
        (CheckStatus.OK, CheckStatus.FAIL) * 10 + (CheckStatus.OK,),
    )
    assert not is_flapping(steady, was_flapping=False)
    assert is_flapping(alternating, was_flapping=False)
    assert not is_flapping(alternating[:9], was_flapping=False)  # eight changes of twenty possible
    recent_changes, old_changes = steady[:12] + alternating[:9], alternating[:9] + steady[:12]
    assert is_flapping(recent_changes, was_flapping=True) and is_flapping(
        old_changes, was_flapping=True
    )
    assert not is_flapping(
        steady[:16] + alternating[:5], was_flapping=True
    )  # four changes: below a quarter
    assert not is_flapping((), was_flapping=False) and not is_flapping(
        (CheckStatus.OK,), was_flapping=True
    )


def test_while_a_check_flaps_its_worse_status_stays_after_a_good_run():
    bad, good = (
        reading(CheckStatus.FAIL, "down", fact=True),
        reading(CheckStatus.OK, "up", fact=True),
    )
    state = after(*[bad, good] * 11)
    assert state.flapping and counted(state) is CheckStatus.FAIL
    settled = after(*[good] * 20, state=state)
    assert not settled.flapping and counted(settled) is CheckStatus.OK


def test_three_rounds_of_noise_do_not_flap():
    state = after(FAIL, OK, FAIL, OK, FAIL, OK)
    assert not state.flapping and counted(state) is CheckStatus.OK
