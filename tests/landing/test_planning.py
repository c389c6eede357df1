"""The base commit of a plan, and the plan that its sender expects."""

from __future__ import annotations

import pytest

from gpt_cursor_runner.landing.planning import Basis, find_base, plan_patch
from gpt_cursor_runner.patch.faults import PatchRefused
from tests.building import Repo
from tests.landing.builders import plan_of

PLAN = plan_of({"a.txt": "a\n"})


def refusal(repo: Repo, basis: Basis) -> PatchRefused:
    with pytest.raises(PatchRefused) as refused:
        plan_patch(repo.git, "main", basis, lambda tree: PLAN)
    assert [fault.code for fault in refused.value.faults] == ["base_mismatch"]
    return refused.value


def test_without_a_base_the_plan_is_made_on_the_tip(repo: Repo) -> None:
    assert plan_patch(repo.git, "main", Basis(), lambda tree: PLAN) == (repo.tip(), PLAN)


def test_a_commit_of_the_branch_may_be_given_by_its_short_id(repo: Repo) -> None:
    old = repo.tip()
    repo.commit({"a.txt": "a\n"})
    assert find_base(repo.git, "main", Basis(old[:10])) == old


def test_a_base_outside_the_branch_is_refused(repo: Repo) -> None:
    repo.run("checkout", "--quiet", "-b", "side")
    repo.commit({"side.txt": "s\n"})
    repo.run("checkout", "--quiet", "main")
    repo.run("branch", "abcdef1")
    for wanted in (repo.tip("side"), "abcdef1", "0" * 40, repo.tip("main^{tree}")):
        (fault,) = refusal(repo, Basis(wanted)).faults
        assert fault.pointer == "/base" and repo.tip() in fault.next_step


def test_a_strict_base_must_be_the_tip(repo: Repo) -> None:
    old = repo.tip()
    assert find_base(repo.git, "main", Basis(old, strict=True)) == old
    tip = repo.commit({"a.txt": "a\n"})
    (fault,) = refusal(repo, Basis(old, strict=True)).faults
    assert "moved on" in fault.message and tip in fault.next_step


def test_a_plan_that_differs_from_the_expected_one_is_refused_with_its_base(
    repo: Repo,
) -> None:
    assert (
        plan_patch(repo.git, "main", Basis(expect_plan=PLAN.digest()), lambda tree: PLAN)[1] is PLAN
    )
    refused = refusal(repo, Basis(expect_plan="0" * 64))
    (fault,) = refused.faults
    assert (fault.pointer, refused.base) == ("/expect_plan", repo.tip())
    assert PLAN.digest() in fault.message and "preview" in fault.next_step
