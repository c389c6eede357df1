"""Who moves the branch: one compare-and-swap, and then what follows from it,
each step safe to repeat.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gpt_cursor_runner.landing.checkouts import branch_locked, checkout_of, follow
from gpt_cursor_runner.landing.git import Git, GitFailed
from gpt_cursor_runner.landing.sealing import Sealed, commit_tree

_LOCK_PATIENCE_SECONDS = 3.0
_PLAIN = ("--no-ext-diff", "--no-textconv")


class BaseMoved(Exception):
    """The branch is no longer where the sealed commit was made for; carry the
    change onto its new tip.
    """


@dataclass(frozen=True)
class DiffStat:
    """What changed between two commits."""

    files: tuple[str, ...]
    insertions: int
    deletions: int


def compose(
    git: Git, sealed: Sealed, subject: str, body: str, trailers: Mapping[str, str], when: float
) -> str:
    """The commit that will land: the sealed tree under its final message.
    Repeating it gives the same id.
    """
    paragraphs = [subject, *([body.strip()] if body.strip() else [])]
    paragraphs.append(
        "\n".join(f"{name}: {' '.join(value.split())}" for name, value in trailers.items())
    )
    return commit_tree(git, sealed.tree, sealed.base, "\n\n".join(paragraphs) + "\n", when)


def move_branch(
    git: Git, branch: str, old: str, new: str, patience_seconds: float = _LOCK_PATIENCE_SECONDS
) -> str | None:
    """Move the branch from `old` to `new`; the path of the checkout that
    followed, if it was checked out.

    Raises BaseMoved when the branch is elsewhere, HumanNeeded when the owner's
    work is in the way, and then nothing has changed. A checked-out branch is
    moved by the checkout itself: were the ref moved under it, the change would
    look there like a staged deletion, and the owner's next commit would undo
    it.
    """
    ref = git.branch_ref(branch)
    checkout = checkout_of(git, ref)
    if git.tip(branch) != old:
        raise BaseMoved(branch)
    if checkout is None:
        # An owner who checks the branch out between our look and this line
        # meets the same race as with a push.
        _swap(git, branch, ref, old, new)
        return None
    follow(checkout, ref, old, new, patience_seconds)
    if not git.is_ancestor(new, git.tip(branch)):
        raise BaseMoved(branch)
    return str(checkout.path)


def _swap(git: Git, branch: str, ref: str, old: str, new: str) -> None:
    try:
        git.run("update-ref", "-m", "gcr: land", ref, new, old)
    except GitFailed as refused:
        if git.tip(branch) != old:
            raise BaseMoved(branch) from refused
        raise branch_locked(refused) from refused


def tag(git: Git, name: str, commit: str, message: str, when: float) -> bool:
    """Tag the commit; False when the name already marks another commit, which
    stays as it is.
    """
    there = git.resolve(f"refs/tags/{name}")
    if there is None:
        date = {"GIT_COMMITTER_DATE": f"@{int(when)} +0000"}
        # Verbatim: by default git drops lines that begin with #, and a title may.
        options = ("--annotate", "--cleanup=verbatim", "--file=-")
        git.run("tag", *options, "--", name, commit, data=f"{message}\n".encode(), environment=date)
        return True
    return there == commit


def push(git: Git, remote: str, branch: str, commit: str, tag_name: str | None) -> None:
    """A plain fast-forward push of the landed commit and its tag, both or neither.

    Raises GitFailed with the remote's words when it is refused.
    """
    refs = [f"{commit}:refs/heads/{branch}", *([f"refs/tags/{tag_name}"] if tag_name else [])]
    options = (
        "--quiet",
        "--no-verify",
        "--atomic",
        "--no-follow-tags",
        "--no-signed",
        "--recurse-submodules=no",
    )
    git.run("push", *options, "--", remote, *refs)


def has_landed(git: Git, branch: str, commit: str) -> bool:
    """Whether the branch holds this commit, so that a repeated attempt knows
    its own work.
    """
    return git.resolve(commit) is not None and git.is_ancestor(commit, git.tip(branch))


def diff(git: Git, base: str, commit: str) -> bytes:
    """The change between two commits as a full git diff, made without the
    repository's own diff programs.
    """
    return git.run("diff-tree", "-r", "-p", "-M", "--binary", "--full-index", *_PLAIN, base, commit)


def diff_stat(git: Git, base: str, commit: str) -> DiffStat:
    """Files, insertions and deletions, as `git diff --numstat` counts them;
    binary files count no lines.
    """
    printed = git.run("diff-tree", "-r", "--numstat", "-z", "--no-renames", *_PLAIN, base, commit)
    rows = [
        row.split("\t", 2) for row in printed.decode(errors="backslashreplace").split("\0") if row
    ]
    lines = [[0 if count == "-" else int(count) for count in row[:2]] for row in rows]
    return DiffStat(
        tuple(row[2] for row in rows),
        sum(line[0] for line in lines),
        sum(line[1] for line in lines),
    )


def line_counts(git: Git, base: str, commit: str) -> dict[str, tuple[int, int]]:
    """Insertions and deletions for each path as `diff` shows them: those of a
    renamed file stand under its new name.
    """
    printed = git.run("diff-tree", "-r", "-M", "--numstat", "-z", *_PLAIN, base, commit)
    fields = iter(printed.decode(errors="surrogateescape").split("\0"))
    counts = {}
    for row in filter(None, fields):
        added, removed, path = row.split("\t", 2)
        if not path:  # renamed: the old name and the new one follow
            path = [next(fields, ""), next(fields, "")][1]
        counts[path] = (int(added) if added != "-" else 0, int(removed) if removed != "-" else 0)
    return counts
