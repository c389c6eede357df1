"""Moves a checkout, and with it its branch, as a whole or not at all."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from gpt_cursor_runner.landing.checkouts import STAYS_SEALED, Checkout
from gpt_cursor_runner.landing.git import Git, GitFailed
from gpt_cursor_runner.patch.faults import CheckoutInUse, HumanNeeded, WorldFailed

_INDEX_LOCKED = "index.lock': File exists"
_VETO = "ref updates aborted by hook"
_RETRY_SECONDS = 0.1
_MAX_LISTED = 5

# `git merge` fast-forwards the HEAD that it reads at its start, also one that
# the owner has just switched or rewound. It writes that HEAD to ORIG_HEAD
# before it changes any file, and calls this hook first: for any other branch or
# commit than ours the hook aborts, and nothing has changed. git itself then
# moves HEAD only from the commit that it read.
_GUARD = """#!/bin/sh
[ "$1" = prepared ] || exit 0
while read -r old new ref; do
  case $ref in
    ORIG_HEAD) [ "$new" = {old} ] && [ "$(git symbolic-ref HEAD)" = '{ref}' ] || exit 1 ;;
    refs/heads/*) [ "$old" = {old} ] && [ "$ref" = '{ref}' ] || exit 1 ;;
  esac
done
"""

# Each flag overrides a `branch.<name>.mergeOptions` of the owner's, or a default
# that would overwrite ignored files.
_MERGE_FLAGS = (
    "--ff-only",
    "--commit",
    "--no-squash",
    "--no-autostash",
    "--no-overwrite-ignore",
    "--no-stat",
    "--quiet",
)


def fast_forward(
    checkout: Checkout, ref: str, old: str, new: str, lock_wait_seconds: float
) -> None:
    """Fast-forward the checkout, and with it the branch, from `old` to `new`,
    or change nothing.

    Raises HumanNeeded when the owner's work is in the way. Returns without a
    change when the owner has moved the branch meanwhile; the caller looks at
    the branch.
    """
    git = checkout.git
    _refuse_locked_branch(git, old)
    orig_head = git.resolve("ORIG_HEAD")
    refusal = _merge(git, ref, old, new, lock_wait_seconds)
    if refusal is None:
        return
    _restore_orig_head(git, orig_head, old)
    if _VETO in refusal or git.resolve(ref) != old:
        return
    cause = CheckoutInUse(str(checkout.path), git_said=refusal[:2000], branch_at=old)
    if _INDEX_LOCKED in refusal:
        raise WorldFailed(
            "checkout_locked",
            f"another git holds the index of {checkout.path}",
            "If no git runs there, remove the stale index.lock; the patch is tried again.",
        )
    raise HumanNeeded(
        "checkout_in_the_way",
        f"the checkout has work in it that this patch would overwrite: {_files_in(refusal)}",
        f"Commit or move that work away, {STAYS_SEALED}",
        cause,
    )


def branch_locked(error: GitFailed) -> WorldFailed:
    return WorldFailed(
        "branch_locked",
        f"git could not move the branch: {error.stderr.strip()[:300]}",
        "If no other git is at work in the repository, remove the stale .lock file it names.",
    )


def _merge(git: Git, ref: str, old: str, new: str, lock_wait_seconds: float) -> str | None:
    """None when the checkout has moved, else git's message. Waits for another
    git that holds the index.
    """
    give_up_at = time.monotonic() + lock_wait_seconds
    with _guarded(git, ref, old) as guarded:
        while True:
            try:
                guarded.run("merge", *_MERGE_FLAGS, new)
            except GitFailed as error:
                if _INDEX_LOCKED not in error.stderr or time.monotonic() > give_up_at:
                    return error.stderr.strip() or "git gave no reason"
                time.sleep(_RETRY_SECONDS)
            else:
                return None


@contextmanager
def _guarded(git: Git, ref: str, old: str) -> Iterator[Git]:
    with tempfile.TemporaryDirectory(prefix="gcr-hooks-") as directory:
        hook = Path(directory) / "reference-transaction"
        script = _GUARD.format(old=old, ref=ref.replace("'", "'\\''"))
        hook.write_text(script, errors="surrogateescape")
        hook.chmod(0o700)
        yield replace(git, hooks=Path(directory))


def _refuse_locked_branch(git: Git, old: str) -> None:
    # `git merge` takes the lock of the branch last, when it has already changed
    # the checkout. So the lock is tried first.
    transaction = f"start\nverify HEAD {old}\nprepare\nabort\n"
    try:
        git.run("update-ref", "--stdin", data=transaction.encode())
    except GitFailed as error:
        if "File exists" in error.stderr:
            raise branch_locked(error) from error


def _restore_orig_head(git: Git, orig_head: str | None, written: str) -> None:
    # A refused `git merge` leaves its ORIG_HEAD behind.
    if git.resolve("ORIG_HEAD") == orig_head:
        return
    arguments = ["-d", "ORIG_HEAD"]
    if orig_head is not None:
        arguments = ["ORIG_HEAD", orig_head]
    with suppress(GitFailed):  # the owner has written another one since
        git.run("update-ref", *arguments, written)


def _files_in(refusal: str) -> str:
    """The files that git names in its refusal, one per line after a tab; else
    its first line.
    """
    lines = refusal.splitlines()
    paths = [line.strip() for line in lines if line.startswith("\t")]
    if not paths:
        return lines[0]
    return ", ".join(paths[:_MAX_LISTED])
