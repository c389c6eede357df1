"""The owner's checkouts: where the branch is checked out, and how such a
checkout follows it without losing a byte.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from gpt_cursor_runner.landing.git import Git, GitFailed, run_in
from gpt_cursor_runner.patch.faults import CheckoutInUse, HumanNeeded, WorldFailed

_HEADS = "refs/heads/"
# While these name the branch, HEAD is detached from it and will be put back on it.
_AWAY_FOR = {
    "rebase-merge/head-name": "rebase",
    "rebase-apply/head-name": "rebase",
    "BISECT_START": "bisect",
}
# While one of these exists, HEAD is on the branch and the next commit concludes
# something.
_UNFINISHED = {
    "MERGE_HEAD": "merge",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "rebase-apply/applying": "git am",
}
_INDEX_LOCKED = "index.lock': File exists"
_VETO = "ref updates aborted by hook"
_STAYS_SEALED = "then approve the patch again; it stays sealed."

# `git merge` fast-forwards whatever HEAD is when it looks, also a HEAD that the
# owner has just switched or rewound. It writes that HEAD to ORIG_HEAD before it
# touches anything, and this hook is asked first: with any other branch or
# commit than ours it says no, and nothing has changed. git itself then moves
# HEAD only from the commit it looked at.
_GUARD = """#!/bin/sh
[ "$1" = prepared ] || exit 0
while read -r old new ref; do
  case $ref in
    ORIG_HEAD) [ "$new" = {old} ] && [ "$(git symbolic-ref HEAD)" = '{ref}' ] || exit 1 ;;
    refs/heads/*) [ "$old" = {old} ] && [ "$ref" = '{ref}' ] || exit 1 ;;
  esac
done
"""


@dataclass(frozen=True)
class Checkout:
    """A work tree of the owner's that has the branch checked out."""

    path: Path
    git: Git


def checkout_of(git: Git, ref: str) -> Checkout | None:
    """The work tree on a branch, if any; raise HumanNeeded while the owner is
    in the middle of something with it.
    """
    found: list[Checkout] = []
    for path, holds in _worktrees(git):
        here = git.worktree(path)
        if holds == ref:
            found.append(Checkout(path, here))
        _refuse_if_busy(here, path, ref, holds)
    if len(found) > 1:
        raise _in_use(f"{ref.removeprefix(_HEADS)} is checked out in two places", found[1].path)
    return found[0] if found else None


def follow(checkout: Checkout, ref: str, old: str, new: str, patience_seconds: float) -> None:
    """Fast-forward the checkout, and with it the branch, from `old` to `new`,
    or change nothing.

    Raises HumanNeeded when the owner's work is in the way. Returns without
    having moved anything when the owner has moved the branch meanwhile: the
    caller sees it by the branch.
    """
    git = checkout.git
    _refuse_locked_branch(git, old)
    orig_head = git.resolve("ORIG_HEAD")
    refusal = _fast_forward(git, ref, old, new, patience_seconds)
    if refusal is None:
        return
    _put_back(git, orig_head, old)
    if _VETO in refusal or git.resolve(ref) != old:
        return
    in_use = CheckoutInUse(str(checkout.path), git_said=refusal[:2000], branch_at=old)
    if _INDEX_LOCKED in refusal:
        advice = f"If no git runs there, remove the stale index.lock, {_STAYS_SEALED}"
        raise HumanNeeded(
            "checkout_locked", "another git holds the index of the checkout", advice, in_use
        )
    sentence = f"the checkout has work in it that this patch would overwrite: {_named(refusal)}"
    raise HumanNeeded(
        "checkout_in_the_way", sentence, f"Commit or move that work away, {_STAYS_SEALED}", in_use
    )


def _fast_forward(git: Git, ref: str, old: str, new: str, patience_seconds: float) -> str | None:
    """None when the checkout has followed, else git's words; waits a little for
    the owner's own git to finish.
    """
    # Each flag outdoes a `branch.<name>.mergeOptions` of the owner's, or a
    # default that would overwrite ignored files.
    flags = (
        "--ff-only",
        "--commit",
        "--no-squash",
        "--no-autostash",
        "--no-overwrite-ignore",
        "--no-stat",
        "--quiet",
    )
    give_up_at = time.monotonic() + patience_seconds
    with tempfile.TemporaryDirectory(prefix="gcr-hooks-") as hooks:
        guard = Path(hooks) / "reference-transaction"
        guard.write_text(
            _GUARD.format(old=old, ref=ref.replace("'", "'\\''")), errors="surrogateescape"
        )
        guard.chmod(0o700)
        guarded = replace(git, hooks=Path(hooks))
        while True:
            try:
                guarded.run("merge", *flags, new)
            except GitFailed as refused:
                if _INDEX_LOCKED not in refused.stderr or time.monotonic() > give_up_at:
                    return refused.stderr.strip() or "git gave no reason"
                time.sleep(0.1)
            else:
                return None


def _refuse_locked_branch(git: Git, old: str) -> None:
    """Try the lock of the branch: `git merge` takes it last, when it has
    already changed the checkout.
    """
    try:
        git.run(
            "update-ref", "--stdin", data=f"start\nverify HEAD {old}\nprepare\nabort\n".encode()
        )
    except GitFailed as refused:
        if "File exists" in refused.stderr:
            raise branch_locked(refused) from refused


def branch_locked(refused: GitFailed) -> WorldFailed:
    return WorldFailed(
        "branch_locked",
        f"git could not move the branch: {refused.stderr.strip()[:300]}",
        "If no other git is at work in the repository, remove the stale .lock file it names.",
    )


def _put_back(git: Git, orig_head: str | None, written: str) -> None:
    """Undo what a refused `git merge` leaves: it writes ORIG_HEAD before it
    looks whether it can go on.
    """
    if git.resolve("ORIG_HEAD") == orig_head:
        return
    with suppress(GitFailed):  # the owner has written another one since
        git.run(
            "update-ref", *(["ORIG_HEAD", orig_head] if orig_head else ["-d", "ORIG_HEAD"]), written
        )


def _worktrees(git: Git) -> list[tuple[Path, str]]:
    """Every work tree that is there, with the ref it holds, empty when its HEAD
    is detached.
    """
    printed = git.run("worktree", "list", "--porcelain", "-z").decode(errors="surrogateescape")
    trees = []
    for record in printed.split("\0\0"):
        facts = dict(line.partition(" ")[::2] for line in record.split("\0") if line)
        if "worktree" not in facts or "bare" in facts:
            continue
        path, holds = Path(facts["worktree"]), facts.get("branch", "")
        if path == git.directory:
            trees.append((_main_checkout(git), holds))
        elif (
            path / ".git"
        ).exists():  # else git would look for a repository further up, and find another one
            trees.append((path, holds))
        elif "locked" in facts:
            raise _in_use(
                f"a checkout of {holds.removeprefix(_HEADS)} is locked and not there now", path
            )
    return trees


def _main_checkout(git: Git) -> Path:
    """The main work tree of a repository whose git directory lies apart, which
    `git worktree list` does not know.
    """
    for start in (git.directory, git.registered_path):
        if start is not None:
            with suppress(GitFailed):
                output = run_in(
                    start, git.search_path, "rev-parse", "--show-toplevel", "--absolute-git-dir"
                )
                top, directory = output.split("\n")
                if Path(directory) == git.directory:
                    return Path(top)
    raise WorldFailed(
        "checkout_unknown",
        f"the checkout of {git.directory} is not known, so the branch cannot be moved without harm"
        " to it",
        "Name the checkout, not the git directory, as the repository's path in runner.toml.",
    )


def _refuse_if_busy(here: Git, path: Path, ref: str, holds: str) -> None:
    branch = ref.removeprefix(_HEADS)
    for mark, word in _AWAY_FOR.items():
        with suppress(OSError):
            name = (here.directory / mark).read_text(errors="surrogateescape").strip()
            if name.removeprefix(_HEADS) == branch:
                raise _in_use(f"the owner is in the middle of a {word} of {branch}", path)
    for mark, word in _UNFINISHED.items():
        if holds == ref and (here.directory / mark).exists():
            raise _in_use(f"the owner is in the middle of a {word} on {branch}", path)


def _in_use(sentence: str, path: Path) -> HumanNeeded:
    return HumanNeeded(
        "branch_in_use",
        sentence,
        f"Finish it or abort it, {_STAYS_SEALED}",
        CheckoutInUse(str(path)),
    )


def _named(stderr: str) -> str:
    """The files that git names in its refusal, one per line after a tab; else
    its first line.
    """
    paths = [line.strip() for line in stderr.splitlines() if line.startswith("\t")]
    return ", ".join(paths[:5]) if paths else stderr.splitlines()[0]
