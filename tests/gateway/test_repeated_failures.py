"""From the third refusal of a kind on, a sender is advised to send the whole file."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from gpt_cursor_runner.gateway.repeated_failures import RepeatedFailures
from gpt_cursor_runner.patch.faults import Fault, PatchRefused
from tests.building import patch_body
from tests.gateway.builders import InProcessGateway, gateway_in, problem

STALE = {"type": "str_replace", "path": "greeting.py", "old": "salute", "new": "welcome"}
ADVICE = "send the whole file instead"


def refusal(*faults: tuple[str, str | None], sha256: str | None = None) -> PatchRefused:
    return PatchRefused(
        [Fault(code, "m", "correct it", path=path, file_sha256=sha256) for code, path in faults]
    )


def steps(
    failures: RepeatedFailures, refused: PatchRefused, now: float = 0.0, **who: str
) -> list[bool]:
    """For each fault, whether it advises the whole file."""
    advised = failures.note(who.get("sender", "ann"), who.get("repository", "app"), refused, now)
    return [ADVICE in fault.next_step for fault in advised.faults]


def test_the_third_equal_refusal_and_later_ones_advise_the_whole_file():
    failures = RepeatedFailures()
    advice = [steps(failures, refusal(("no_match", "a.py"))) for _ in range(4)]
    assert advice == [[False], [False], [True], [True]]


def test_the_advice_names_the_file_and_its_digest_and_keeps_the_next_step():
    failures = RepeatedFailures()
    for _ in range(3):
        advised = failures.note("ann", "app", refusal(("ambiguous", "a.py"), sha256="ab" * 32), 0.0)
    step = advised.faults[0].next_step
    assert (
        "upsert of a.py" in step
        and f"expect_sha256 {'ab' * 32}" in step
        and step.endswith("correct it")
    )
    assert (advised.code, advised.faults[0].code) == ("plan_refused", "ambiguous")


@pytest.mark.parametrize(
    "code", ["conflict", "missing_file", "path_escape", "already_applied", "too_large"]
)
def test_a_fault_that_a_whole_file_would_not_correct_gets_no_advice(code: str):
    failures = RepeatedFailures()
    assert [steps(failures, refusal((code, "a.py"))) for _ in range(4)] == [[False]] * 4


def test_other_senders_repositories_paths_and_codes_are_counted_apart():
    failures = RepeatedFailures()
    for _ in range(2):
        steps(failures, refusal(("no_match", "a.py")))
    assert steps(failures, refusal(("no_match", "a.py")), sender="bob") == [False]
    assert steps(failures, refusal(("no_match", "a.py")), repository="site") == [False]
    assert steps(failures, refusal(("no_match", "b.py"), ("ambiguous", "a.py"))) == [False, False]
    assert steps(failures, refusal(("no_match", "b.py"), ("no_match", "a.py"))) == [False, True]


def test_three_bad_hunks_in_one_patch_are_one_failure():
    failures = RepeatedFailures()
    thrice = refusal(*[("no_match", "a.py")] * 3)
    assert [steps(failures, thrice) for _ in range(3)] == [[False] * 3, [False] * 3, [True] * 3]


def test_faults_that_name_no_file_are_counted_together():
    failures = RepeatedFailures()
    for _ in range(3):
        advised = failures.note("ann", "app", refusal(("truncated", None)), 0.0)
    assert "upsert of each file" in advised.faults[0].next_step


def test_failures_are_forgotten_after_an_hour_without_another():
    failures = RepeatedFailures()
    assert steps(failures, refusal(("no_match", "a.py")), now=0.0) == [False]
    assert steps(failures, refusal(("no_match", "a.py")), now=3600.0) == [False]
    assert steps(failures, refusal(("no_match", "a.py")), now=7200.0) == [True]
    assert steps(failures, refusal(("no_match", "a.py")), now=10801.0) == [False]


def test_an_admitted_patch_clears_the_counts_of_its_own_files_only():
    failures = RepeatedFailures()
    for _ in range(2):
        steps(failures, refusal(("no_match", "a.py"), ("no_match", "b.py"), ("malformed", None)))
    failures.forget("bob", "app", ["a.py", "b.py"])
    failures.forget("ann", "site", ["a.py", "b.py"])
    failures.forget("ann", "app", ["a.py"])
    assert steps(
        failures, refusal(("no_match", "a.py"), ("no_match", "b.py"), ("malformed", None))
    ) == [
        False,
        True,
        False,
    ]


def test_counts_are_bounded_and_one_refusal_cannot_push_out_the_rest():
    failures = RepeatedFailures()
    for _ in range(2):
        steps(failures, refusal(("no_match", "a.py")))
    steps(
        failures, refusal(*[("no_match", f"{number}.py") for number in range(5000)]), sender="bob"
    )
    assert len(failures._counts) == 21
    for number in range(1500):
        steps(failures, refusal(("no_match", f"{number}.py")), sender="bob")
    assert len(failures._counts) == 1000
    assert steps(failures, refusal(("no_match", "a.py"))) == [False]


def hint(gateway: InProcessGateway, how: str = "/webhook", key: str = "all") -> Any:
    refused = problem(
        gateway.call("POST", how, patch_body(changes=[STALE]), key=key), 422, "plan_refused"
    )
    (error,) = refused["errors"]
    return error["hint"]


def test_a_sender_refused_three_times_is_advised_by_webhook_and_preview(
    gateway: InProcessGateway,
) -> None:
    digest = hashlib.sha256((gateway.repo.path / "greeting.py").read_bytes()).hexdigest()
    assert ADVICE not in hint(gateway)
    assert ADVICE not in hint(gateway, "/v1/patches:preview")
    assert ADVICE not in hint(gateway, key="submit")
    assert ADVICE in (text := hint(gateway))
    assert f"upsert of greeting.py with its complete contents and expect_sha256 {digest}" in text


def test_an_admitted_patch_of_the_file_resets_the_count(gateway: InProcessGateway) -> None:
    for _ in range(2):
        hint(gateway)
    good = patch_body(
        id="good",
        changes=[{"type": "str_replace", "path": "greeting.py", "old": "hi", "new": "ho"}],
    )
    assert gateway.post(good).status_code == 202
    gateway.move("good", "cancelled")
    assert ADVICE not in hint(gateway)


def test_repositories_of_one_gateway_are_counted_apart(tmp_path: Any) -> None:
    with gateway_in(tmp_path, ("app", "site")) as gateway:
        bodies = [
            patch_body(changes=[STALE], repository=name) for name in ("app", "app", "site", "app")
        ]
        hints = [problem(gateway.post(body), 422)["errors"][0]["hint"] for body in bodies]
    assert [ADVICE in text for text in hints] == [False, False, False, True]
