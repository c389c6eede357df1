"""Sealing: the planned tree becomes a commit before anything judges it, so that
nothing can change it afterwards.

The commit is written with `git fast-import`: no index, no work tree, and a cost
that follows the files touched. Author, dates and message come from the ledger,
so sealing the same plan on the same base again gives the same commit id.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gpt_cursor_runner.formats.tree import Plan
from gpt_cursor_runner.landing.git import Git, GitFailed, quoted
from gpt_cursor_runner.landing.git_isolation import AUTHOR_EMAIL, AUTHOR_NAME
from gpt_cursor_runner.patch.faults import Fault, PatchRefused, WorldFailed

_MAX_CONFLICTS = 20
_EXCERPT_LINES = 12
_CRASH_REPORT = re.compile(r"dumping crash report to (.+)")


@dataclass(frozen=True)
class Sealed:
    """A commit nobody's branch points at yet: `tree` on top of `base`, kept
    alive by `ref`.
    """

    ref: str
    base: str
    commit: str
    tree: str


def sealed_ref(patch_id: str) -> str:
    return f"refs/gcr/sealed/{patch_id}"


def seal(git: Git, plan: Plan, patch_id: str, base: str, accepted_at: float) -> Sealed:
    """Write the plan on top of `base`; raise WorldFailed when git cannot."""
    ref = sealed_ref(patch_id)
    try:
        git.run(
            "fast-import",
            "--quiet",
            "--done",
            "--force",
            data=_stream(plan, ref, patch_id, base, accepted_at),
        )
    except GitFailed as failed:
        for report in _CRASH_REPORT.findall(failed.stderr):
            (git.directory / Path(report).name).unlink(missing_ok=True)
        advice = "See whether the disk is full or read-only, then requeue the patch."
        raise WorldFailed(
            "seal_failed", f"git could not write the commit: {_first_line(failed)}", advice
        ) from failed
    return _read(git, ref, base)


def carry(git: Git, sealed: Sealed, tip: str, accepted_at: float) -> Sealed:
    """The sealed change on top of `tip`, by git's own three-way merge; raise
    PatchRefused with the conflict's text.

    A change that is sealed on the tip already comes back as it is.
    """
    if tip == sealed.base:
        return sealed
    tip_tree = git.line("rev-parse", f"{tip}^{{tree}}")
    # The tip's tree as a child of the base, so that the base is the merge base.
    # With the tip itself, an owner who had rewound or amended the branch would
    # get back, as if it were the patch's, what they had taken out.
    ours = commit_tree(git, tip_tree, sealed.base, "The branch now\n", accepted_at)
    try:
        printed = git.run("merge-tree", "--write-tree", "--name-only", "-z", ours, sealed.commit)
    except GitFailed as answer:
        if answer.code != 1:
            raise
        raise PatchRefused(_conflicts(git, answer.stdout, tip)) from None
    tree = printed.partition(b"\0")[0].decode()
    if tree == tip_tree:
        raise PatchRefused([_nothing_left(tip)])
    _refuse_strays(tip, _changed(git, sealed.base, sealed.commit), _changed(git, tip, tree))
    message = git.run("cat-file", "commit", sealed.commit).partition(b"\n\n")[2].decode()
    commit = commit_tree(git, tree, tip, message, accepted_at)
    git.run("update-ref", sealed.ref, commit)
    return Sealed(sealed.ref, tip, commit, tree)


def commit_tree(git: Git, tree: str, parent: str, message: str, when: float) -> str:
    """A commit of a tree that is already there; the same arguments give the
    same id.
    """
    dates = {f"GIT_{role}_DATE": f"@{int(when)} +0000" for role in ("AUTHOR", "COMMITTER")}
    return git.line(
        "commit-tree", "-p", parent, "-F", "-", tree, data=message.encode(), environment=dates
    )


def _read(git: Git, ref: str, base: str) -> Sealed:
    commit, tree = git.line("rev-parse", ref, f"{ref}^{{tree}}").splitlines()
    return Sealed(ref, base, commit, tree)


def _stream(plan: Plan, ref: str, patch_id: str, base: str, accepted_at: float) -> bytes:
    message = f"Seal {patch_id}\n".encode()
    who = f"{AUTHOR_NAME} <{AUTHOR_EMAIL}> {int(accepted_at)} +0000"
    head = f"feature done\ncommit {ref}\nauthor {who}\ncommitter {who}\n"
    parts = [head.encode(), b"data %d\n" % len(message), message, f"from {base}\n".encode()]
    # Deletions first: a file may take the place of a directory that goes, or
    # the other way round.
    parts += [b"D %s\n" % quoted(action.path) for action in plan.actions if action.after is None]
    for action in plan.actions:
        if action.after is not None:
            data = action.after.data
            parts.append(b"M %s inline %s\n" % (action.after.mode.encode(), quoted(action.path)))
            parts += [b"data %d\n" % len(data), data, b"\n"]
    parts.append(b"\ndone\n")
    return b"".join(parts)


def _changed(git: Git, before: str, after: str) -> list[str]:
    printed = git.run("diff-tree", "-r", "-z", "--name-only", "--no-renames", before, after)
    return printed.decode(errors="backslashreplace").split("\0")[:-1]


def _refuse_strays(tip: str, planned: Sequence[str], changed: Sequence[str]) -> None:
    """Raise PatchRefused when the merge has followed a rename of the branch's
    to a path that the plan does not name.

    The plan's paths are what the owner's policy judged. The pinned settings
    against renames work from git 2.50 on.
    """
    strays = [path for path in changed if path not in planned]
    if strays:
        path = next((path for path in planned if path not in changed), strays[0])
        fault = Fault(
            code="conflict",
            message=(
                f"{path}: the branch ({tip[:12]}) has moved it, and the change would have gone to"
                f" {strays[0]}"
            ),
            next_step="Send the change for the path that the branch has now.",
            path=path,
            candidates=tuple(strays[:_MAX_CONFLICTS]),
        )
        raise PatchRefused([fault])


def _conflicts(git: Git, printed: bytes, tip: str) -> list[Fault]:
    """One fault per path. git-merge-tree prints the tree, the paths in
    conflict, an empty field, then its messages, each as a count, that many
    paths, a kind and a text; a conflict may have messages and no paths.
    """
    listed, _, said = printed.partition(b"\0\0")
    tree, *paths = [part.decode(errors="surrogateescape") for part in listed.split(b"\0") if part]
    told: dict[str, list[str]] = {}
    fields = iter(said.decode(errors="surrogateescape").split("\0"))
    for count in fields:
        if not count.strip().isdigit():
            break
        about = [next(fields, "") for _ in range(int(count))]
        kind, text = next(fields, ""), next(fields, "")
        for path in about if kind.startswith("CONFLICT") else []:
            told.setdefault(path, []).extend(text.strip().splitlines())
    named = list(dict.fromkeys([*paths, *told])) or [""]
    return [_conflict(git, tree, tip, path, told.get(path, [])) for path in named[:_MAX_CONFLICTS]]


def _conflict(git: Git, tree: str, tip: str, path: str, told: Sequence[str]) -> Fault:
    try:
        merged = git.run("cat-file", "blob", f"{tree}:{path}").decode(errors="replace").splitlines()
    except GitFailed:
        merged = []  # deleted on one side, so there is no merged text
    mark = next((number for number, line in enumerate(merged) if line.startswith("<<<<<<< ")), None)
    shown = path.encode(errors="surrogateescape").decode(errors="backslashreplace")
    return Fault(
        code="conflict",
        message=(
            f"{shown or 'a folder'}: the change does not merge with what the branch holds now"
            f" ({tip[:12]})"
        ),
        next_step="Read the file at the branch tip, and send the change against that.",
        path=shown or None,
        expected=tuple(told if mark is None else _labelled(merged[mark : mark + _EXCERPT_LINES])),
    )


def _labelled(excerpt: Sequence[str]) -> list[str]:
    """Conflict marks with words for the two sides, in place of commits nobody
    has heard of.
    """
    sides = {"<<<<<<< ": "<<<<<<< the branch", ">>>>>>> ": ">>>>>>> the patch"}
    return [sides.get(line[:8], line) for line in excerpt]


def _first_line(failed: GitFailed) -> str:
    return (failed.stderr.strip().splitlines() or ["no message"])[0][:300]


def _nothing_left(tip: str) -> Fault:
    return Fault(
        code="already_applied",
        message=f"the branch ({tip[:12]}) already holds everything this patch would change",
        next_step="Nothing is left to do; do not send it again.",
    )
