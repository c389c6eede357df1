"""The fuzzer: the same seed gives the same inputs, and each broken promise is
detected.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from gpt_cursor_runner.formats.plan import make_plan
from gpt_cursor_runner.formats.tree import Plan
from gpt_cursor_runner.patch.faults import Fault, PatchRefused
from tests.fuzzing import properties
from tests.fuzzing.inputs import Input, rendered
from tests.fuzzing.working import Done, Finding, checked, input_of

GIVEN = Input(
    "test",
    {"a.py": b"x\n"},
    [{"type": "upsert", "path": "a.py", "contents": "y\n"}],
    wanted={"a.py": b"y\n"},
)


def refuse(code: str) -> Plan:
    raise PatchRefused([Fault(code, "no", "go")])


def elsewhere(plan: Plan, path: str) -> Plan:
    return Plan(tuple(replace(action, path=path) for action in plan.actions))


def test_the_same_seed_gives_the_same_inputs():
    starts = [rendered(Random(number)) for number in range(5)]
    assert [input_of(7, number, starts) for number in range(300)] == [
        input_of(7, number, starts) for number in range(300)
    ]
    assert input_of(7, 1, starts) != input_of(8, 1, starts)


def test_the_real_planner_keeps_every_promise():
    assert isinstance(checked(1, GIVEN), Done)


@pytest.mark.parametrize(
    ("spoil", "broken"),
    [
        (lambda plan, tolerance: plan.no_such_thing, "AttributeError"),
        (lambda plan, tolerance: refuse("unheard_of"), "a fault with code 'unheard_of'"),
        (
            lambda plan, tolerance: refuse("no_match") if tolerance == "merge" else plan,
            "what standard accepts",
        ),
        (lambda plan, tolerance: elsewhere(plan, "../a.py"), "UnsafePath"),
        (
            lambda plan, tolerance: elsewhere(plan, "b.py"),
            "'b.py' is said to have held something else",
        ),
        (lambda plan, tolerance: Plan(()), "a third tree at strict"),
    ],
)
def test_a_broken_promise_is_detected(
    spoil: Callable[[Plan, str], Plan], broken: str, monkeypatch: pytest.MonkeyPatch
):
    def spoiled(changes: Any, tree: Any, tolerance: Any) -> Plan:
        return spoil(make_plan(changes, tree, tolerance), tolerance)

    monkeypatch.setattr(properties, "make_plan", spoiled)
    finding = checked(1, GIVEN)
    assert isinstance(finding, Finding) and broken in finding.report


def test_a_slow_plan_is_detected(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(properties, "SECONDS", 0)
    finding = checked(1, GIVEN)
    assert isinstance(finding, Finding) and "processor seconds" in finding.report
