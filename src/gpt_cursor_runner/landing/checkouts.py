"""The owner's checkouts: where the branch is checked out, and how such a checkout follows it without losing a byte."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from gpt_cursor_runner.landing.git import Git, GitFailed
from gpt_cursor_runner.patch.outcome import HumanNeeded

_BUSY_MARKS = ("rebase-merge/head-name", "rebase-apply/head-name", "BISECT_START")
_INDEX_LOCK = "index.lock"
_LOCK_PATIENCE_SECONDS = 3.0


@dataclass(frozen=True)
class Checkout:
    """A work tree of the owner's that has the branch checked out."""

    path: Path
    git: Git


def checkout_of(git: Git, branch: str) -> Checkout | None:
    """The work tree on `branch`, if any; raise HumanNeeded while one is in the middle of rebasing or bisecting it."""
    found = None
    for path, holds in _worktrees(git):
        if not path.is_dir():
            continue  # removed without `git worktree prune`
        here = git.worktree(path)
        if holds == f"refs/heads/{branch}":
            found = Checkout(path, here)
        _refuse_if_busy(here, path, branch)
    return found


def follow(checkout: Checkout, branch: str, old: str, new: str) -> None:
    """Fast-forward the checkout, and with it the branch, from `old` to `new`, or change nothing and raise HumanNeeded.

    git moves HEAD only from the commit it read at its own start, and refuses before it writes when a local change,
    staged or not, or an untracked file is in the way.
    """
    refusal = _fast_forward(checkout, new)
    if refusal is None or checkout.git.tip(branch) == new:
        return
    locked = _INDEX_LOCK in refusal
    raise HumanNeeded(
        "checkout_locked" if locked else "checkout_in_the_way",
        "another git holds the index of the checkout"
        if locked
        else f"the checkout has work in it that this patch would overwrite: {_in_the_way(refusal)}",
        "If no git runs there, remove the stale index.lock, then approve the patch again; it stays sealed."
        if locked
        else "Commit or move that work away, then approve the patch again; it stays sealed.",
        {"checkout": str(checkout.path), "git_said": refusal[:2000], "branch_at": old},
    )


def _fast_forward(checkout: Checkout, new: str) -> str | None:
    """None when the checkout has followed, else git's words; waits a little for the owner's own git to finish."""
    give_up_at = time.monotonic() + _LOCK_PATIENCE_SECONDS
    while True:
        try:
            checkout.git.run("merge", "--ff-only", "--quiet", "--no-edit", new)
        except GitFailed as refused:
            if _INDEX_LOCK not in refused.stderr or time.monotonic() > give_up_at:
                return refused.stderr.strip()
            time.sleep(0.1)
        else:
            return None


def _worktrees(git: Git) -> list[tuple[Path, str]]:
    printed = git.run("worktree", "list", "--porcelain", "-z").decode(errors="surrogateescape")
    trees = []
    for record in printed.split("\0\0"):
        facts = dict(line.partition(" ")[::2] for line in record.split("\0") if line)
        if "worktree" in facts and "bare" not in facts:
            trees.append((Path(facts["worktree"]), facts.get("branch", "")))
    return trees


def _refuse_if_busy(here: Git, path: Path, branch: str) -> None:
    for mark in _BUSY_MARKS:
        try:
            name = (here.directory / mark).read_text().strip()
        except OSError:
            continue
        if name.removeprefix("refs/heads/") == branch:
            raise HumanNeeded(
                "branch_in_use",
                f"the owner is in the middle of a {mark.split('-')[0].split('_')[0].lower()} of {branch}",
                "Finish or abort it, then approve the patch again; it stays sealed.",
                {"checkout": str(path)},
            )


def _in_the_way(stderr: str) -> str:
    paths = [line.strip() for line in stderr.splitlines() if line.startswith("\t")]
    return ", ".join(paths[:5]) if paths else stderr.strip().splitlines()[0] if stderr.strip() else "git did not say"
