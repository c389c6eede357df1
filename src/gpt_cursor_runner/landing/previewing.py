"""Computes the commit that would land, with the landing code itself, in a
scratch repository.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from gpt_cursor_runner.formats.tree import File, FileAction, Plan, Tree
from gpt_cursor_runner.landing.carrying import carry
from gpt_cursor_runner.landing.commit_tree import CommitTree
from gpt_cursor_runner.landing.git import Git
from gpt_cursor_runner.landing.landing import diff, line_counts
from gpt_cursor_runner.landing.objects import Objects
from gpt_cursor_runner.landing.planning import Basis, plan_patch
from gpt_cursor_runner.landing.scratch import scratch
from gpt_cursor_runner.landing.sealing import Sealed, seal

_NAME = "preview"


@dataclass(frozen=True)
class FileChange:
    """The change of one file of the branch. `mode` and `sha256` are those of
    the new file, None for a deleted one.
    """

    path: str
    action: str  # create | change | delete | move | chmod
    insertions: int
    deletions: int
    moved_from: str | None = None
    mode: str | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Preview:
    """The plan, made on `base`, and its result on top of `tip`."""

    base: str
    tip: str
    plan: Plan
    files: tuple[FileChange, ...]
    diff: bytes


def preview(
    git: Git, branch: str, basis: Basis, plan: Callable[[Tree], Plan], now: float
) -> Preview:
    """Plan, seal and carry to the tip without a trace in the repository; raises
    as these three do.
    """
    base, made_plan = plan_patch(git, branch, basis, plan)
    with scratch(git, base) as bare:
        sealed = seal(bare, made_plan, _NAME, base, now)
        carried = carry(bare, sealed, git.tip(branch), now)
        actions: Sequence[FileAction] = made_plan.actions
        if carried != sealed:
            actions = _merged_actions(bare, made_plan, carried)
        counts = line_counts(bare, carried.base, carried.commit)
        files = tuple(_file_changes(actions, counts))
        change = diff(bare, carried.base, carried.commit)
        return Preview(base, carried.base, made_plan, files, change)


def _merged_actions(git: Git, plan: Plan, carried: Sealed) -> list[FileAction]:
    """The plan's actions after a merge: from the tip's file to the merged one."""
    tip_tree = git.line("rev-parse", f"{carried.base}^{{tree}}")
    actions = []
    with Objects(git) as objects:
        tip = CommitTree(objects, tip_tree)
        merged = CommitTree(objects, carried.tree)
        for action in plan.actions:
            before = _file(tip, action.path)
            after = _file(merged, action.path)
            if before != after:
                actions.append(FileAction(action.path, before, after, action.moved_from))
    return actions


def _file(tree: CommitTree, path: str) -> File | None:
    match tree.kind(path):
        case "file":
            return File(tree.read(path), "100644")
        case "executable":
            return File(tree.read(path), "100755")
        case _:
            return None


def _file_changes(
    actions: Sequence[FileAction], counts: Mapping[str, tuple[int, int]]
) -> Iterator[FileChange]:
    deleted = {action.path for action in actions if action.after is None}
    # A move is two actions, and one change: that of the new path.
    moved_away = {action.moved_from for action in actions if action.moved_from in deleted}
    for action in actions:
        if action.path in moved_away:
            continue
        if action.moved_from in moved_away:
            yield _file_change(action, "move", counts, moved_from=action.moved_from)
        else:
            yield _file_change(action, _verb(action), counts)


def _file_change(
    action: FileAction,
    verb: str,
    counts: Mapping[str, tuple[int, int]],
    moved_from: str | None = None,
) -> FileChange:
    insertions, deletions = counts.get(action.path, (0, 0))
    # git counts a file that changed too much as a deletion and a new file, not
    # as a rename.
    if moved_from is not None:
        old_insertions, old_deletions = counts.get(moved_from, (0, 0))
        insertions += old_insertions
        deletions += old_deletions
    mode = None
    sha256 = None
    if action.after is not None:
        mode = action.after.mode.removeprefix("100")
        sha256 = action.after.sha256
    return FileChange(action.path, verb, insertions, deletions, moved_from, mode, sha256)


def _verb(action: FileAction) -> str:
    if action.after is None:
        return "delete"
    if action.before is None:
        return "create"
    if action.before.data == action.after.data:
        return "chmod"
    return "change"
