"""Sealing: the planned tree becomes a commit before anything judges it, so that nothing can change it afterwards.

The commit is written with `git fast-import`: no index, no work tree, and a cost that follows the files touched. Author,
dates and message come from the ledger, so sealing the same plan on the same base again gives the same commit id.
"""

from __future__ import annotations

from dataclasses import dataclass

from gpt_cursor_runner.formats.tree import Plan
from gpt_cursor_runner.landing.git import Git, GitFailed
from gpt_cursor_runner.patch.outcome import Fault, PatchRefused, WorldFailed

IDENTITY = "GPT-Cursor Runner <gpt-cursor-runner@localhost>"
_MAX_CONFLICTS = 20


@dataclass(frozen=True)
class Sealed:
    """A commit nobody's branch points at yet: `tree` on top of `base`, kept alive by `ref`."""

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
        git.run("fast-import", "--quiet", "--done", "--force", data=_stream(plan, ref, patch_id, base, accepted_at))
    except GitFailed as failed:
        for report in git.directory.glob("fast_import_crash_*"):
            report.unlink(missing_ok=True)
        raise WorldFailed("seal_failed", f"git could not write the commit: {failed.stderr.strip()[:300]}") from failed
    return _read(git, ref, base)


def carry(git: Git, sealed: Sealed, tip: str, accepted_at: float) -> Sealed:
    """The sealed change on top of `tip`, by git's own three-way merge; raise PatchRefused with the conflict's text."""
    printed = git.run("merge-tree", "--write-tree", "--name-only", "-z", tip, sealed.commit, also_fine=(1,))
    listed, _, _ = printed.partition(b"\0\0")
    tree, *paths = [part.decode(errors="surrogateescape") for part in listed.split(b"\0") if part]
    if paths:
        raise PatchRefused([_conflict(git, tree, tip, path) for path in paths[:_MAX_CONFLICTS]])
    if tree == git.line("rev-parse", f"{tip}^{{tree}}"):
        raise PatchRefused([_nothing_left(tip)])
    ref = sealed.ref
    commit = commit_tree(git, tree, tip, git.line("log", "-1", "--format=%B", sealed.commit), accepted_at)
    git.run("update-ref", ref, commit)
    return Sealed(ref, tip, commit, tree)


def commit_tree(git: Git, tree: str, parent: str, message: str, when: float) -> str:
    """A commit of a tree that is already there; the same arguments give the same id."""
    name, _, address = IDENTITY.partition(" <")
    identity = {
        f"GIT_{role}_{part}": value
        for role in ("AUTHOR", "COMMITTER")
        for part, value in (("NAME", name), ("EMAIL", address.rstrip(">")), ("DATE", f"@{int(when)} +0000"))
    }
    made = git.run("commit-tree", "-p", parent, "-F", "-", tree, data=message.encode(), environment=identity)
    return made.decode().strip()


def _read(git: Git, ref: str, base: str) -> Sealed:
    commit, tree = git.line("rev-parse", ref, f"{ref}^{{tree}}").splitlines()
    return Sealed(ref, base, commit, tree)


def _stream(plan: Plan, ref: str, patch_id: str, base: str, accepted_at: float) -> bytes:
    message = f"Seal {patch_id}\n".encode()
    when = f"{int(accepted_at)} +0000"
    head = f"feature done\ncommit {ref}\nauthor {IDENTITY} {when}\ncommitter {IDENTITY} {when}\n"
    parts = [head.encode(), b"data %d\n" % len(message), message, f"from {base}\n".encode()]
    # Deletions first: a file may take the place of a directory that goes, or the other way round.
    parts += [b"D %s\n" % _quoted(action.path) for action in plan.actions if action.after is None]
    for action in plan.actions:
        if action.after is not None:
            data = action.after.data
            parts.append(b"M %s inline %s\n" % (action.after.mode.encode(), _quoted(action.path)))
            parts += [b"data %d\n" % len(data), data, b"\n"]
    parts.append(b"\ndone\n")
    return b"".join(parts)


def _quoted(path: str) -> bytes:
    """A path as fast-import reads it in quotes; control characters and backslashes never get this far."""
    return b'"%s"' % path.encode(errors="surrogateescape").replace(b'"', b'\\"')


def _conflict(git: Git, tree: str, tip: str, path: str) -> Fault:
    try:
        merged = git.run("cat-file", "blob", f"{tree}:{path}").decode(errors="replace").splitlines()
    except GitFailed:
        merged = []  # deleted on one side, so there is no merged text
    marks = [number for number, line in enumerate(merged) if line.startswith("<<<<<<< ")]
    excerpt = tuple(merged[marks[0] : marks[0] + 12]) if marks else ()
    return Fault(
        code="conflict",
        message=f"{path}: the change does not merge with what the branch holds now ({tip[:12]})",
        next_step="Read the file at the branch tip, and send the change against that.",
        path=path,
        expected=excerpt,
    )


def _nothing_left(tip: str) -> Fault:
    return Fault(
        code="already_applied",
        message=f"the branch ({tip[:12]}) already holds everything this patch would change",
        next_step="Nothing is left to do; do not send it again.",
    )
