from __future__ import annotations

from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from gpt_cursor_runner.alerts.dead_mans_switch import DeadMansSwitch
from gpt_cursor_runner.health.monitor.judging import Verdict, judge
from gpt_cursor_runner.health.monitor.model import CheckState, Criticality, Overall, Status
from tests.health.builders import NOW, check, snapshot, until
from tests.receiver import Receiver

VERDICTS = {
    Overall.HEALTHY: judge(snapshot(check()), NOW),
    Overall.DEGRADED: judge(
        snapshot(check(status=Status.FAIL, criticality=Criticality.IMPAIRING)), NOW
    ),
    Overall.UNKNOWN: judge(snapshot(check(status=Status.FAIL)), NOW),
    Overall.ERROR: judge(snapshot(check()), NOW + 60),
}


def saying(overall: Overall) -> Callable[[], Verdict]:
    return lambda: VERDICTS[overall]


@pytest.mark.parametrize("overall", list(Overall))
def test_a_sign_of_life_is_given_while_patches_can_be_taken_and_only_then(overall):
    assert VERDICTS[overall].overall is overall
    receiver = Receiver(lambda _: (200, {}))
    with receiver.up():
        tried = DeadMansSwitch(receiver.url, 60, saying(overall)).ping()
    lives = overall in (Overall.HEALTHY, Overall.DEGRADED)
    assert (tried, [one.method for one in receiver.arrived]) == (lives, ["GET"] if lives else [])


def test_trouble_is_logged_once_and_so_is_its_end_and_never_the_address():
    receiver = Receiver(lambda _: (200, {}))
    pinger = DeadMansSwitch(receiver.url, 60, saying(Overall.HEALTHY))
    with capture_logs() as logs:
        pinger.ping()
        pinger.ping()
        with receiver.up():
            pinger.ping()
            pinger.ping()
    assert [one["event"] for one in logs] == ["ping_failed", "ping_arrives_again"]
    assert "127.0.0.1" not in str(logs)


def test_it_goes_on_until_stopped_and_starts_at_once_when_all_is_well_again():
    receiver = Receiver(lambda _: (200, {}))
    state: list[CheckState] = [check(status=Status.FAIL)]
    pinger = DeadMansSwitch(receiver.url, 0.05, lambda: judge(snapshot(*state), NOW))
    with receiver.up():
        pinger.start()
        state[0] = check()
        assert until(lambda: len(receiver.arrived) >= 3)
        pinger.stop()
