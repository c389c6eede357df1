"""Finds the owner's checkout of a branch, and whether the owner is in the middle
of an operation with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gpt_cursor_runner.landing.git import Git, GitFailed, run_in
from gpt_cursor_runner.patch.faults import CheckoutInUse, HumanNeeded, WorldFailed

STAYS_SEALED = "then approve the patch again; it stays sealed."
_HEADS = "refs/heads/"
# While one of these files names the branch, HEAD is detached from it and will
# be put back on it.
_HEAD_DETACHED_BY = {
    "rebase-merge/head-name": "rebase",
    "rebase-apply/head-name": "rebase",
    "BISECT_START": "bisect",
}
# While one of these exists, HEAD is on the branch and the next commit concludes
# the operation.
_COMMIT_EXPECTED_BY = {
    "MERGE_HEAD": "merge",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "rebase-apply/applying": "git am",
}


@dataclass(frozen=True)
class Checkout:
    """A work tree of the owner's, and the git in it. `ref` is that of the branch
    it has checked out, empty while HEAD is detached.
    """

    path: Path
    git: Git
    ref: str


@dataclass(frozen=True)
class _WorkTree:
    """`ref` is empty while HEAD is detached."""

    path: Path
    ref: str


def checkout_of(git: Git, ref: str) -> Checkout | None:
    """The work tree on a branch, if any; raise HumanNeeded while the owner is
    in the middle of an operation with it.
    """
    return checkout_among(list_checkouts(git), ref)


def checkout_among(checkouts: Sequence[Checkout], ref: str) -> Checkout | None:
    """As `checkout_of`, of the checkouts that were listed."""
    for checkout in checkouts:
        _refuse_if_busy(checkout, ref)
    on_branch = [checkout for checkout in checkouts if checkout.ref == ref]
    if not on_branch:
        return None
    if len(on_branch) > 1:
        raise _in_use(f"{_short(ref)} is checked out in two places", on_branch[1].path)
    return on_branch[0]


def list_checkouts(git: Git) -> list[Checkout]:
    """Every work tree that exists. Raises HumanNeeded for one that is locked and
    not there.
    """
    checkouts = []
    for work_tree in _work_trees(git):
        checkouts.append(Checkout(work_tree.path, git.worktree(work_tree.path), work_tree.ref))
    return checkouts


def work_trees(git: Git) -> list[Path]:
    """The directories of every work tree of the owner's that exists, links
    resolved; the git directory of a bare repository.
    """
    paths = [git.directory]
    with suppress(HumanNeeded, WorldFailed):
        paths += [work_tree.path.resolve() for work_tree in _work_trees(git)]
    return paths


def _work_trees(git: Git) -> Iterator[_WorkTree]:
    """Every work tree that exists."""
    output = git.run("worktree", "list", "--porcelain", "-z").decode(errors="surrogateescape")
    for record in output.split("\0\0"):
        facts = _facts(record)
        if "worktree" not in facts or "bare" in facts:
            continue
        path = Path(facts["worktree"])
        ref = facts.get("branch", "")
        if path == git.directory:
            yield _WorkTree(_main_work_tree(git), ref)
        # Without its .git, git would look further up and use another repository.
        elif (path / ".git").exists():
            yield _WorkTree(path, ref)
        elif "locked" in facts:
            raise _in_use(f"a checkout of {_short(ref)} is locked and not there now", path)


def _facts(record: str) -> dict[str, str]:
    facts = {}
    for line in record.split("\0"):
        name, _, value = line.partition(" ")
        if name:
            facts[name] = value
    return facts


def _main_work_tree(git: Git) -> Path:
    """The main work tree of a repository whose git directory is elsewhere:
    `git worktree list` prints the git directory in its place.
    """
    for start in (git.directory, git.registered_path):
        if start is None:
            continue
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


def _refuse_if_busy(checkout: Checkout, ref: str) -> None:
    branch = _short(ref)
    for name, operation in _HEAD_DETACHED_BY.items():
        if _branch_in(checkout.git.directory / name) == branch:
            raise _in_use(f"the owner is in the middle of a {operation} of {branch}", checkout.path)
    if ref in _refs_to_update(checkout.git.directory):
        raise _in_use(
            f"the owner is in the middle of a rebase that will move {branch}", checkout.path
        )
    if checkout.ref != ref:
        return
    for name, operation in _COMMIT_EXPECTED_BY.items():
        if (checkout.git.directory / name).exists():
            raise _in_use(f"the owner is in the middle of a {operation} on {branch}", checkout.path)


def _refs_to_update(directory: Path) -> list[str]:
    """The other branches that a `git rebase --update-refs` moves at its end
    (git 2.38): a ref, its old and its new commit, each on a line.
    """
    try:
        lines = (directory / "rebase-merge/update-refs").read_text(errors="surrogateescape")
    except OSError:
        return []
    return lines.splitlines()[::3]


def _branch_in(file: Path) -> str | None:
    # A rebase writes the ref, a bisect the short name.
    try:
        return _short(file.read_text(errors="surrogateescape").strip())
    except OSError:
        return None


def _in_use(message: str, path: Path) -> HumanNeeded:
    return HumanNeeded(
        "branch_in_use",
        message,
        f"Finish it or abort it, {STAYS_SEALED}",
        CheckoutInUse(str(path)),
    )


def _short(ref: str) -> str:
    return ref.removeprefix(_HEADS)
