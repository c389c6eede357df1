"""A planner's pure work, over the blobs of one commit, read on demand."""

from __future__ import annotations

from collections.abc import Callable

from gpt_cursor_runner.formats.tree import Plan, Tree
from gpt_cursor_runner.landing.git import Git
from gpt_cursor_runner.landing.objects import CommitTree, Objects
from gpt_cursor_runner.patch.outcome import PatchRefused, WorldFailed


def plan_at(git: Git, revision: str, plan: Callable[[Tree], Plan]) -> Plan:
    """What `plan` makes of a commit's tree; raise its PatchRefused, which then names the commit, or WorldFailed."""
    with Objects(git) as objects:
        commit = _oid(objects, f"{revision}^{{commit}}")
        tree = _oid(objects, f"{commit}^{{tree}}")
        try:
            return plan(CommitTree(objects, tree))
        except PatchRefused as refused:
            refused.base = commit
            raise


def _oid(objects: Objects, name: str) -> str:
    found = objects.header(name)
    if found is None:
        advice = "Name an existing branch in runner.toml, or make a first commit on it."
        raise WorldFailed("branch_missing", f"the repository has no {name.split('^')[0]}", advice)
    for _ in objects.contents(found[2]):
        pass
    return found[0]
