"""Minutes and hours of each state, and the uptime made of them."""

from __future__ import annotations

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert

from gpt_cursor_runner.ledger.ledger import Ledger
from gpt_cursor_runner.ledger.schema import observations
from gpt_cursor_runner.ledger.uptime import Uptime
from tests.ledger.health_builders import DAY, NOW

HOUR = int(NOW)
OK, FAIL = (60.0, 0.0, 0.0, 0.0), (0.0, 0.0, 60.0, 0.0)

parts = st.lists(st.tuples(*[st.floats(0, 90)] * 4), min_size=1, max_size=4)


def test_seconds_add_up_in_their_minute_and_hour(ledger: Ledger) -> None:
    ledger.uptime.observe(HOUR, {"web": (10.5, 1.25, 0.0, 0.0)})
    ledger.uptime.observe(HOUR, {"web": (0.25, 0.0, 2.0, 0.0), "queue": OK})
    ledger.uptime.observe(HOUR + 60, {"web": (0.0, 0.0, 0.0, 7.0)})
    first, second = ledger.uptime.observations(60, HOUR)
    assert (first.start, first.seconds) == (HOUR, {"web": (10.75, 1.25, 2.0, 0.0), "queue": OK})
    assert (second.start, second.seconds) == (HOUR + 60, {"web": (0.0, 0.0, 0.0, 7.0)})
    [hour] = ledger.uptime.observations(3600, HOUR)
    assert hour.seconds == {"web": (10.75, 1.25, 2.0, 7.0), "queue": OK}
    assert ledger.uptime.observations(60, HOUR + 1) == [second]


def test_a_minute_has_at_most_sixty_seconds_of_a_subject(ledger: Ledger) -> None:
    ledger.uptime.observe(HOUR, {"web": (50.0, 0.0, 0.0, 0.0)})
    ledger.uptime.observe(HOUR, {"web": (15.0, 0.0, 5.0, 0.0)})
    for length in (60, 3600):
        assert ledger.uptime.observations(length, HOUR)[0].seconds == {"web": (57.5, 0.0, 2.5, 0.0)}


@given(parts)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_an_hour_is_the_sum_of_its_minutes(
    ledger: Ledger, seconds: list[tuple[float, float, float, float]]
) -> None:
    with ledger.database.write() as connection:
        connection.execute(observations.delete())
    for number, states in enumerate(seconds):
        ledger.uptime.observe(HOUR + 60 * (number % 2), {"web": states})
    minutes = [observation.seconds["web"] for observation in ledger.uptime.observations(60, HOUR)]
    assert all(sum(round(seconds * 1000) for seconds in minute) <= 60_000 for minute in minutes)
    hour = ledger.uptime.observations(3600, HOUR)[0].seconds["web"]
    assert [round(seconds * 1000) for seconds in hour] == [
        sum(round(seconds * 1000) for seconds in state) for state in zip(*minutes, strict=True)
    ]


@pytest.mark.parametrize(
    "seconds", [(1.0, 2.0), (-1.0, 0.0, 0.0, 0.0), (math.nan, 0.0, 0.0, 0.0), (math.inf,) * 4]
)
def test_impossible_observations_are_rejected(ledger: Ledger, seconds: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="four states"):
        ledger.uptime.observe(HOUR, {"web": seconds})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="not the start of a minute"):
        ledger.uptime.observe(HOUR + 1, {"web": OK})
    assert ledger.uptime.observations(60, 0) == []


def test_the_ratio_is_of_the_observed_seconds_and_the_rest_is_unobserved(ledger: Ledger) -> None:
    ledger.uptime.observe(HOUR - 60, {"web": (30.0, 15.0, 10.0, 5.0)})
    ledger.uptime.observe(HOUR - 120, {"web": OK, "queue": FAIL})
    ledger.uptime.observe(HOUR - 3 * 3600, {"web": FAIL, "queue": (0.0,) * 4})
    uptime = ledger.uptime.uptime(NOW + 30)
    assert list(uptime) == ["queue", "web"]
    assert uptime["web"]["1h"] == Uptime(90.0, 15.0, 10.0, 5.0, 3480.0, 105 / 120)
    assert uptime["web"]["24h"] == Uptime(90.0, 15.0, 70.0, 5.0, DAY - 180.0, 105 / 180)
    assert uptime["queue"]["7d"] == Uptime(0.0, 0.0, 60.0, 0.0, 7 * DAY - 60.0, 0.0)
    assert uptime["web"]["30d"].unobserved_seconds == 30 * DAY - 180.0


def test_a_window_without_observations_has_no_ratio(ledger: Ledger) -> None:
    ledger.uptime.observe(HOUR - 5 * 3600, {"web": OK})
    uptime = ledger.uptime.uptime(NOW)["web"]
    assert uptime["1h"] == Uptime(0.0, 0.0, 0.0, 0.0, 3600.0, None)
    assert uptime["24h"].ratio == 1.0


@pytest.mark.parametrize("minute", [0, 1, 37, 59])
def test_every_minute_of_a_window_counts_once_and_no_other(ledger: Ledger, minute: int) -> None:
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
    uptime = ledger.uptime.uptime(end + 59.9)["web"]
    days = {"1h": 1 / 24, "24h": 1, "7d": 7}
    assert {label: uptime[label].ok_seconds for label in days} == {
        label: DAY * of for label, of in days.items()
    }
    assert uptime["30d"].ok_seconds == 30 * DAY + 60 * minute
    assert {up.unobserved_seconds for up in uptime.values()} == {0.0}


def test_windows_can_be_chosen(ledger: Ledger) -> None:
    ledger.uptime.observe(HOUR - 60, {"web": OK})
    assert list(ledger.uptime.uptime(NOW, {"ten minutes": 600})["web"]) == ["ten minutes"]
    assert ledger.uptime.uptime(NOW, {"a minute": 60})["web"]["a minute"].unobserved_seconds == 0.0
