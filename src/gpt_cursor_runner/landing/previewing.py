"""What would land, found by the code that lands it: planned, sealed, carried to
the tip, in a scratch repository.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
    """What becomes of one file of the branch; `sha256` and `mode` are those it
    will have, None for a deleted one.
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
    """The plan, made on `base`, and what it comes to on top of `tip`."""

    base: str
    tip: str
    plan: Plan
    files: tuple[FileChange, ...]
    diff: bytes


def preview(
    git: Git, branch: str, basis: Basis, plan: Callable[[Tree], Plan], now: float
) -> Preview:
    """Plan, seal and carry to the tip, and leave no trace; raises what these
    three raise.
    """
    base, made = plan_patch(git, branch, basis, plan)
    with scratch(git, base) as bare:
        sealed = seal(bare, made, _NAME, base, now)
        landing = carry(bare, sealed, git.tip(branch), now)
        actions = made.actions if landing == sealed else tuple(_merged(bare, made, landing))
        counts = line_counts(bare, landing.base, landing.commit)
        files = tuple(_file_changes(actions, counts))
        return Preview(base, landing.base, made, files, diff(bare, landing.base, landing.commit))


def _merged(git: Git, plan: Plan, landing: Sealed) -> Iterator[FileAction]:
    """The plan's actions as they come out of a merge: from what the tip holds
    to what the merged tree holds.
    """
    with Objects(git) as objects:
        tip, merged = (
            CommitTree(objects, git.line("rev-parse", f"{of}^{{tree}}"))
            for of in (landing.base, landing.tree)
        )
        for action in plan.actions:
            before, after = _file(tip, action.path), _file(merged, action.path)
            if before != after:
                yield FileAction(action.path, before, after, action.moved_from)


def _file(tree: CommitTree, path: str) -> File | None:
    kind = tree.kind(path)
    if kind not in ("file", "executable"):
        return None
    return File(tree.read(path), "100755" if kind == "executable" else "100644")


def _file_changes(
    actions: tuple[FileAction, ...], counts: dict[str, tuple[int, int]]
) -> Iterator[FileChange]:
    gone = {action.path for action in actions if action.after is None}
    moved = {action.moved_from for action in actions if action.moved_from in gone}
    for action in actions:
        if action.path in moved:
            continue  # told with the file it became
        source = action.moved_from if action.moved_from in moved else None
        told = [counts.get(path, (0, 0)) for path in {action.path, source or action.path}]
        added, removed = sum(one[0] for one in told), sum(one[1] for one in told)
        after = action.after
        yield FileChange(
            action.path,
            "move" if source else _verb(action),
            added,
            removed,
            source,
            after.mode.removeprefix("100") if after else None,
            after.sha256 if after else None,
        )


def _verb(action: FileAction) -> str:
    if action.after is None:
        return "delete"
    if action.before is None:
        return "create"
    return "chmod" if action.before.data == action.after.data else "change"
