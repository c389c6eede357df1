"""Moves the branch with one compare-and-swap, then tags and pushes; each step
can be repeated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gpt_cursor_runner.landing.checkouts import checkout_of
from gpt_cursor_runner.landing.fast_forward import branch_locked, fast_forward
from gpt_cursor_runner.landing.git import Git, GitFailed
from gpt_cursor_runner.landing.sealing import Sealed, write_commit

# Long enough for a commit or a checkout of the owner's to end.
_LOCK_WAIT_SECONDS = 3.0
# A repository can configure programs that rewrite a diff.
_PLAIN = ("--no-ext-diff", "--no-textconv")


class BaseMoved(Exception):
    """The branch is not at the base of the sealed commit; carry the change onto
    its new tip.
    """


@dataclass(frozen=True)
class DiffStat:
    """Paths and lines that differ between two commits."""

    files: tuple[str, ...]
    insertions: int
    deletions: int


def compose(
    git: Git, sealed: Sealed, subject: str, body: str, trailers: Mapping[str, str], when: float
) -> str:
    """Write the commit that will land: the sealed tree under its final message.
    Repeating it gives the same id.
    """
    paragraphs = [subject]
    if body.strip():
        paragraphs.append(body.strip())
    # Without line breaks, which would begin another trailer.
    lines = [f"{name}: {' '.join(value.split())}" for name, value in trailers.items()]
    paragraphs.append("\n".join(lines))
    return write_commit(git, sealed.tree, sealed.base, "\n\n".join(paragraphs) + "\n", when)


def move_branch(
    git: Git, branch: str, old: str, new: str, lock_wait_seconds: float = _LOCK_WAIT_SECONDS
) -> str | None:
    """Move the branch from `old` to `new`; return the path of the checkout that
    followed, if it was checked out.

    Raises BaseMoved when the branch is elsewhere, HumanNeeded when the owner's
    work is in the way; then nothing has changed.
    """
    head = git.branch_head(branch)
    checkout = checkout_of(git, head.ref)
    if head.commit != old:
        raise BaseMoved(branch)
    if checkout is None:
        # An owner who checks the branch out between the look above and this
        # line meets the same race as with a push.
        _swap(git, branch, head.ref, old, new)
        return None
    # The checkout moves the branch itself. With a ref that moves under it, the
    # change would look there like a staged deletion, and the owner's next
    # commit would undo it.
    fast_forward(checkout, head.ref, old, new, lock_wait_seconds)
    if not git.is_ancestor(new, head.ref):
        raise BaseMoved(branch)
    return str(checkout.path)


def _swap(git: Git, branch: str, ref: str, old: str, new: str) -> None:
    try:
        git.run("update-ref", "-m", "gcr: land", ref, new, old)
    except GitFailed as error:
        if git.tip(branch) != old:
            raise BaseMoved(branch) from error
        raise branch_locked(error) from error


def tag(git: Git, name: str, commit: str, message: str, when: float) -> bool:
    """Tag the commit; return False when the name already marks another commit,
    which keeps it.
    """
    date = {"GIT_COMMITTER_DATE": f"@{int(when)} +0000"}
    # Verbatim: by default git drops lines that begin with #, and a title may.
    options = ("--annotate", "--cleanup=verbatim", "--file=-")
    data = f"{message}\n".encode()
    try:
        git.run("tag", *options, "--", name, commit, data=data, environment=date)
    except GitFailed:
        tagged = git.resolve(f"refs/tags/{name}")
        if tagged is None:
            raise
        return tagged == commit
    return True


def push(git: Git, remote: str, branch: str, commit: str, tag_name: str | None) -> None:
    """Push the landed commit and its tag as a fast-forward, both or neither.

    Raises GitFailed with the remote's message when it is refused.
    """
    refs = [f"{commit}:refs/heads/{branch}"]
    if tag_name:
        refs.append(f"refs/tags/{tag_name}")
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
    """Whether the branch holds this commit, so that a repeated attempt
    recognises its own landing.
    """
    if git.resolve(commit) is None:
        return False
    return git.is_ancestor(commit, git.tip(branch))


def diff(git: Git, base: str, commit: str) -> bytes:
    """The change between two commits as a complete git diff, made without the
    repository's own diff programs.
    """
    return git.run("diff-tree", "-r", "-p", "-M", "--binary", "--full-index", *_PLAIN, base, commit)


def diff_stat(git: Git, base: str, commit: str) -> DiffStat:
    """Files, insertions and deletions, as `git diff --numstat` counts them;
    binary files count no lines.
    """
    output = git.run("diff-tree", "-r", "--numstat", "-z", "--no-renames", *_PLAIN, base, commit)
    files = []
    insertions = 0
    deletions = 0
    for row in output.decode(errors="backslashreplace").split("\0")[:-1]:
        added, removed, path = row.split("\t", 2)
        files.append(path)
        insertions += _line_count(added)
        deletions += _line_count(removed)
    return DiffStat(tuple(files), insertions, deletions)


def line_counts(git: Git, base: str, commit: str) -> dict[str, tuple[int, int]]:
    """Insertions and deletions for each path as `diff` shows them: those of a
    renamed file are under its new name.
    """
    output = git.run("diff-tree", "-r", "-M", "--numstat", "-z", *_PLAIN, base, commit)
    fields = iter(output.decode(errors="surrogateescape").split("\0")[:-1])
    counts = {}
    for row in fields:
        added, removed, path = row.split("\t", 2)
        if not path:  # a rename: the old name and the new one follow
            next(fields, "")
            path = next(fields, "")
        counts[path] = (_line_count(added), _line_count(removed))
    return counts


def _line_count(text: str) -> int:
    if text == "-":  # a binary file
        return 0
    return int(text)
