from __future__ import annotations

from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from gpt_cursor_runner.alerts.dead_mans_switch import DeadMansSwitch
from gpt_cursor_runner.health.monitor.judging import Verdict, judge
from gpt_cursor_runner.health.monitor.model import CheckState, CheckStatus, Criticality, Overall
from tests.health.builders import NOW, check, snapshot, until
from tests.receiver import Receiver

VERDICTS = {
    Overall.HEALTHY: judge(snapshot(check()), NOW),
    Overall.DEGRADED: judge(
        snapshot(check(status=CheckStatus.FAIL, criticality=Criticality.IMPAIRING)), NOW
    ),
    Overall.UNKNOWN: judge(snapshot(check(status=CheckStatus.FAIL)), NOW),
    Overall.ERROR: judge(snapshot(check()), NOW + 60),
}


def always(overall: Overall) -> Callable[[], Verdict]:
    return lambda: VERDICTS[overall]


@pytest.mark.parametrize("overall", list(Overall))
def test_the_signal_is_sent_while_patches_are_accepted_and_only_then(overall):
    assert VERDICTS[overall].overall is overall
    receiver = Receiver(lambda _: (200, {}))
    with receiver.up():
        tried = DeadMansSwitch(receiver.url, 60, always(overall)).ping()
    accepts = overall in (Overall.HEALTHY, Overall.DEGRADED)
    assert tried is accepts
    assert [request.method for request in receiver.arrived] == ["GET"] * accepts


def test_a_failure_is_logged_when_it_begins_and_ends_without_the_address():
    receiver = Receiver(lambda _: (200, {}))
    switch = DeadMansSwitch(receiver.url, 60, always(Overall.HEALTHY))
    with capture_logs() as logs:
        switch.ping()
        switch.ping()
        with receiver.up():
            switch.ping()
            switch.ping()
    assert [entry["event"] for entry in logs] == ["ping_failed", "ping_recovered"]
    assert "127.0.0.1" not in str(logs)


def test_the_signal_resumes_when_the_gateway_has_recovered():
    receiver = Receiver(lambda _: (200, {}))
    state: list[CheckState] = [check(status=CheckStatus.FAIL)]
    switch = DeadMansSwitch(receiver.url, 0.05, lambda: judge(snapshot(*state), NOW))
    with receiver.up():
        switch.start()
        state[0] = check()
        assert until(lambda: len(receiver.arrived) >= 3)
        switch.stop()
