"""Carrying: a sealed change is merged onto a branch that has moved since, by
git's own three-way merge.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gpt_cursor_runner.landing.git import Git, GitFailed
from gpt_cursor_runner.landing.sealing import Sealed, write_commit
from gpt_cursor_runner.patch.faults import Fault, PatchRefused

_MAX_CONFLICTS = 20
_EXCERPT_LINES = 12
# git names the sides by commits that the sender has never seen.
_SIDE_LABELS = {"<<<<<<< ": "<<<<<<< the branch", ">>>>>>> ": ">>>>>>> the patch"}


def carry(git: Git, sealed: Sealed, tip: str, accepted_at: float) -> Sealed:
    """Merge the sealed change onto `tip`; raise PatchRefused with the text of a
    conflict.

    A change that is already sealed on the tip is returned as it is.
    """
    if tip == sealed.base:
        return sealed
    tip_tree = git.line("rev-parse", f"{tip}^{{tree}}")
    tree = _merged_tree(git, sealed, tip, tip_tree, accepted_at)
    if tree == tip_tree:
        raise PatchRefused([_nothing_left(tip)])
    _refuse_strays(tip, _changed(git, sealed.base, sealed.commit), _changed(git, tip, tree))
    message = git.run("cat-file", "commit", sealed.commit).partition(b"\n\n")[2].decode()
    commit = write_commit(git, tree, tip, message, accepted_at)
    git.run("update-ref", sealed.ref, commit)
    return Sealed(sealed.ref, tip, commit, tree)


def _merged_tree(git: Git, sealed: Sealed, tip: str, tip_tree: str, accepted_at: float) -> str:
    # The tip's tree as a child of the base, so that the base is the merge base.
    # With the tip itself, an owner who had rewound or amended the branch would
    # get back, as if it were the patch's, what they had taken out.
    ours = write_commit(git, tip_tree, sealed.base, "The branch now\n", accepted_at)
    try:
        output = git.run("merge-tree", "--write-tree", "--name-only", "-z", ours, sealed.commit)
    except GitFailed as error:
        if error.code != 1:  # 1 is a conflict
            raise
        raise PatchRefused(_conflicts(git, error.stdout, tip)) from None
    return output.partition(b"\0")[0].decode()


def _changed(git: Git, before: str, after: str) -> list[str]:
    output = git.run("diff-tree", "-r", "-z", "--name-only", "--no-renames", before, after)
    return output.decode(errors="backslashreplace").split("\0")[:-1]


def _refuse_strays(tip: str, planned: Sequence[str], changed: Sequence[str]) -> None:
    """Raise PatchRefused when the merge has followed a rename on the branch to
    a path that the plan does not name.
    """
    # The plan's paths are the ones that the owner's policy was applied to. The
    # pinned settings against renames have an effect from git 2.50 on only.
    strays = [path for path in changed if path not in planned]
    if not strays:
        return
    moved_paths = [path for path in planned if path not in changed]
    path = strays[0]
    if moved_paths:
        path = moved_paths[0]
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


def _conflicts(git: Git, output: bytes, tip: str) -> list[Fault]:
    """One fault for each path in conflict.

    `git merge-tree -z` prints the tree, the paths in conflict, an empty field
    and then its messages. A conflict can have messages and no paths.
    """
    listed, _, rest = output.partition(b"\0\0")
    fields = [field for field in listed.split(b"\0") if field]
    tree, *paths = [field.decode(errors="surrogateescape") for field in fields]
    messages: dict[str, list[str]] = {}
    for path, text in _conflict_messages(rest.decode(errors="surrogateescape")):
        messages.setdefault(path, []).extend(text.strip().splitlines())
    paths_in_conflict = list(dict.fromkeys([*paths, *messages])) or [""]
    faults = []
    for path in paths_in_conflict[:_MAX_CONFLICTS]:
        faults.append(_conflict(git, tree, tip, path, messages.get(path, [])))
    return faults


def _conflict_messages(text: str) -> Iterator[tuple[str, str]]:
    """Path and message of each conflict. A message is a count, that many paths,
    a kind and a text.
    """
    fields = iter(text.split("\0"))
    for count in fields:
        if not count.strip().isdigit():
            break
        paths = [next(fields, "") for _ in range(int(count))]
        kind = next(fields, "")
        message = next(fields, "")
        # The other kinds, as "Auto-merging", are not conflicts.
        if kind.startswith("CONFLICT"):
            for path in paths:
                yield path, message


def _conflict(git: Git, tree: str, tip: str, path: str, messages: Sequence[str]) -> Fault:
    shown = path.encode(errors="surrogateescape").decode(errors="backslashreplace")
    return Fault(
        code="conflict",
        message=(
            f"{shown or 'a folder'}: the change does not merge with what the branch holds now"
            f" ({tip[:12]})"
        ),
        next_step="Read the file at the branch tip, and send the change against that.",
        path=shown or None,
        expected=tuple(_excerpt(git, tree, path) or messages),
    )


def _excerpt(git: Git, tree: str, path: str) -> list[str]:
    """The merged text from its first conflict mark on; empty without one."""
    try:
        blob = git.run("cat-file", "blob", f"{tree}:{path}")
    except GitFailed:
        return []  # deleted on one side, so there is no merged text
    lines = blob.decode(errors="replace").splitlines()
    for number, line in enumerate(lines):
        if line.startswith("<<<<<<< "):
            excerpt = lines[number : number + _EXCERPT_LINES]
            return [_SIDE_LABELS.get(marked[:8], marked) for marked in excerpt]
    return []


def _nothing_left(tip: str) -> Fault:
    return Fault(
        code="already_applied",
        message=f"the branch ({tip[:12]}) already holds everything this patch would change",
        next_step="Nothing is left to do; do not send it again.",
    )
