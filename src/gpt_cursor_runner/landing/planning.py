"""Planning a patch over the blobs of the commit that it was made against, read
on demand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gpt_cursor_runner.formats.tree import Plan, Tree
from gpt_cursor_runner.landing.commit_tree import CommitTree
from gpt_cursor_runner.landing.git import Git
from gpt_cursor_runner.landing.objects import Objects
from gpt_cursor_runner.patch.faults import Fault, PatchRefused, WorldFailed
from gpt_cursor_runner.patch.model import Patch


@dataclass(frozen=True)
class Basis:
    """The commit and the plan digest that the sender expects."""

    base: str | None = None
    strict: bool = False
    expect_plan: str | None = None

    @classmethod
    def of(cls, patch: Patch) -> Basis:
        return cls(patch.base, patch.tolerance == "strict", patch.expect_plan)


def plan_patch(
    git: Git, branch: str, basis: Basis, plan: Callable[[Tree], Plan]
) -> tuple[str, Plan]:
    """The commit the patch is made against, and the plan for its tree.

    Raises PatchRefused, which names that commit where there is one, or WorldFailed.
    """
    base = find_base(git, branch, basis)
    made_plan = plan_at(git, base, plan)
    if basis.expect_plan not in (None, made_plan.digest()):
        refusal = PatchRefused([_other_plan(made_plan)], made_plan.hunks)
        refusal.base = base
        raise refusal
    return base, made_plan


def find_base(git: Git, branch: str, basis: Basis) -> str:
    """The commit to plan on: the branch's tip, or the commit of the branch that
    the sender names.
    """
    tip = git.tip(branch)
    wanted = basis.base
    if wanted is None:
        return tip
    base = git.resolve(wanted)
    # A branch or a tag may be named like an abbreviated id; only a commit of
    # that id is meant.
    if base is None or not base.startswith(wanted) or not git.is_ancestor(base, tip):
        raise PatchRefused([_unknown_base(wanted, branch, tip)])
    if base != tip and basis.strict:
        raise PatchRefused([_stale_base(wanted, branch, tip)])
    return base


def plan_at(git: Git, revision: str, plan: Callable[[Tree], Plan]) -> Plan:
    """Plan on the tree of a commit; raise the PatchRefused of `plan` with the
    commit as its base, or WorldFailed.
    """
    with Objects(git) as objects:
        commit = _oid(objects, f"{revision}^{{commit}}")
        tree = _oid(objects, f"{commit}^{{tree}}")
        try:
            return plan(CommitTree(objects, tree))
        except PatchRefused as refusal:
            refusal.base = commit
            raise


def _oid(objects: Objects, name: str) -> str:
    header = objects.info(name)
    if header is None:
        advice = "Name an existing branch in runner.toml, or make a first commit on it."
        raise WorldFailed("branch_missing", f"the repository has no {name.split('^')[0]}", advice)
    return header.oid


def _other_plan(plan: Plan) -> Fault:
    return Fault(
        code="base_mismatch",
        message=f"the plan is not the expected one: its digest is {plan.digest()}",
        next_step=(
            "Look at a new preview, since the files or the patch have changed, and expect its"
            " plan_digest."
        ),
        pointer="/expect_plan",
    )


def _unknown_base(wanted: str, branch: str, tip: str) -> Fault:
    return Fault(
        code="base_mismatch",
        message=f"the base {wanted} is not a commit of the branch {branch}",
        next_step=f"Make the patch against the tip {tip}, or leave base out.",
        pointer="/base",
    )


def _stale_base(wanted: str, branch: str, tip: str) -> Fault:
    return Fault(
        code="base_mismatch",
        message=(
            f"the branch {branch} has moved on from {wanted}, and tolerance strict allows no merge"
        ),
        next_step=f"Make the patch against the tip {tip}, or use tolerance standard.",
        pointer="/base",
    )
