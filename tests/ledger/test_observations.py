"""Minutes and hours of each state, and the uptime made of them."""

from __future__ import annotations

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert

from gpt_cursor_runner.ledger.history import Uptime
from gpt_cursor_runner.ledger.ledger import Ledger
from gpt_cursor_runner.ledger.schema import observations
from tests.ledger.health_builders import DAY, NOW

HOUR = int(NOW)
OK, FAIL = (60.0, 0.0, 0.0, 0.0), (0.0, 0.0, 60.0, 0.0)

parts = st.lists(st.tuples(*[st.floats(0, 90)] * 4), min_size=1, max_size=4)


def test_what_is_observed_adds_up_in_its_minute_and_in_its_hour(ledger: Ledger) -> None:
    ledger.history.observe(HOUR, {"web": (10.5, 1.25, 0.0, 0.0)})
    ledger.history.observe(HOUR, {"web": (0.25, 0.0, 2.0, 0.0), "queue": OK})
    ledger.history.observe(HOUR + 60, {"web": (0.0, 0.0, 0.0, 7.0)})
    first, second = ledger.history.observations(60, HOUR)
    assert (first.start, first.seconds) == (HOUR, {"web": (10.75, 1.25, 2.0, 0.0), "queue": OK})
    assert (second.start, second.seconds) == (HOUR + 60, {"web": (0.0, 0.0, 0.0, 7.0)})
    [hour] = ledger.history.observations(3600, HOUR)
    assert hour.seconds == {"web": (10.75, 1.25, 2.0, 7.0), "queue": OK}
    assert ledger.history.observations(60, HOUR + 1) == [second]


def test_a_minute_is_never_longer_than_a_minute(ledger: Ledger) -> None:
    ledger.history.observe(HOUR, {"web": (50.0, 0.0, 0.0, 0.0)})
    ledger.history.observe(HOUR, {"web": (15.0, 0.0, 5.0, 0.0)})
    for length in (60, 3600):
        assert ledger.history.observations(length, HOUR)[0].seconds == {
            "web": (57.5, 0.0, 2.5, 0.0)
        }


@given(parts)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_an_hour_is_the_sum_of_its_minutes_however_they_are_filled(
    ledger: Ledger, seconds: list[tuple[float, float, float, float]]
) -> None:
    with ledger.database.write() as connection:
        connection.execute(observations.delete())
    for number, of in enumerate(seconds):
        ledger.history.observe(HOUR + 60 * (number % 2), {"web": of})
    minutes = [one.seconds["web"] for one in ledger.history.observations(60, HOUR)]
    assert all(sum(round(one * 1000) for one in minute) <= 60_000 for minute in minutes)
    hour = ledger.history.observations(3600, HOUR)[0].seconds["web"]
    assert [round(one * 1000) for one in hour] == [
        sum(round(one * 1000) for one in of) for of in zip(*minutes, strict=True)
    ]


@pytest.mark.parametrize(
    "seconds", [(1.0, 2.0), (-1.0, 0.0, 0.0, 0.0), (math.nan, 0.0, 0.0, 0.0), (math.inf,) * 4]
)
def test_what_cannot_have_been_observed_is_refused(
    ledger: Ledger, seconds: tuple[float, ...]
) -> None:
    with pytest.raises(ValueError, match="four states"):
        ledger.history.observe(HOUR, {"web": seconds})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="no minute begins"):
        ledger.history.observe(HOUR + 1, {"web": OK})
    assert ledger.history.observations(60, 0) == []


def test_uptime_is_of_what_was_observed_and_the_rest_is_said(ledger: Ledger) -> None:
    ledger.history.observe(HOUR - 60, {"web": (30.0, 15.0, 10.0, 5.0)})
    ledger.history.observe(HOUR - 120, {"web": OK, "queue": FAIL})
    ledger.history.observe(HOUR - 3 * 3600, {"web": FAIL, "queue": (0.0,) * 4})
    found = ledger.history.uptime(NOW + 30)
    assert list(found) == ["queue", "web"]
    assert found["web"]["1h"] == Uptime(90.0, 15.0, 10.0, 5.0, 3480.0, 105 / 120)
    assert found["web"]["24h"] == Uptime(90.0, 15.0, 70.0, 5.0, DAY - 180.0, 105 / 180)
    assert found["queue"]["7d"] == Uptime(0.0, 0.0, 60.0, 0.0, 7 * DAY - 60.0, 0.0)
    assert found["web"]["30d"].unobserved_seconds == 30 * DAY - 180.0


def test_a_subject_that_was_not_looked_at_lately_has_no_ratio(ledger: Ledger) -> None:
    ledger.history.observe(HOUR - 5 * 3600, {"web": OK})
    found = ledger.history.uptime(NOW)["web"]
    assert found["1h"] == Uptime(0.0, 0.0, 0.0, 0.0, 3600.0, None)
    assert found["24h"].ratio == 1.0


@pytest.mark.parametrize("minute", [0, 1, 37, 59])
def test_every_minute_of_a_window_counts_once_and_none_beside_it(
    ledger: Ledger, minute: int
) -> None:
    end = HOUR + 60 * minute
    first = HOUR - 8 * DAY
    minutes = [
        {"length": 60, "start": start, "seconds": {"web": OK}}
        for start in range(first, end + 120, 60)
    ]
    hours = [
        {"length": 3600, "start": start, "seconds": {"web": (3600.0, 0.0, 0.0, 0.0)}}
        for start in range(HOUR - 31 * DAY, HOUR, 3600)
    ]
    # The hour under way, which holds what its minutes hold, those after the
    # window too.
    hours.append(
        {
            "length": 3600,
            "start": HOUR,
            "seconds": {"web": (60.0 * min(60, minute + 2), 0.0, 0.0, 0.0)},
        }
    )
    with ledger.database.write() as connection:
        connection.execute(insert(observations), minutes)
        connection.execute(insert(observations), hours)
    found = ledger.history.uptime(end + 59.9)["web"]
    days = {"1h": 1 / 24, "24h": 1, "7d": 7}
    assert {label: found[label].ok_seconds for label in days} == {
        label: DAY * of for label, of in days.items()
    }
    assert found["30d"].ok_seconds == 30 * DAY + 60 * minute
    assert {up.unobserved_seconds for up in found.values()} == {0.0}


def test_windows_are_the_asker_s_to_choose(ledger: Ledger) -> None:
    ledger.history.observe(HOUR - 60, {"web": OK})
    assert list(ledger.history.uptime(NOW, {"ten minutes": 600})["web"]) == ["ten minutes"]
    assert ledger.history.uptime(NOW, {"a minute": 60})["web"]["a minute"].unobserved_seconds == 0.0
