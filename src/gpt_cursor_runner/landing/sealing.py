"""Sealing: the planned tree becomes a commit before it is checked, so that
nothing can change it afterwards.

The commit is written with `git fast-import`: no index, no work tree, and a cost
that follows the files touched. Author, dates and message come from the ledger,
so sealing the same plan on the same base again gives the same commit id.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from gpt_cursor_runner.formats.tree import Plan
from gpt_cursor_runner.landing.git import Git, GitFailed, quoted
from gpt_cursor_runner.landing.git_isolation import AUTHOR_EMAIL, AUTHOR_NAME
from gpt_cursor_runner.patch.faults import WorldFailed

_CRASH_REPORT = re.compile(r"dumping crash report to (.+)")
# The output of `get-mark` and of `ls` for the root directory.
_WRITTEN = re.compile(rb"([0-9a-f]+)\n040000 tree ([0-9a-f]+)\t\n")


@dataclass(frozen=True)
class Sealed:
    """A commit that is on no branch: `tree` on top of `base`, kept alive by
    `ref`.
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
    stream = _stream(plan, ref, patch_id, base, accepted_at)
    try:
        output = git.run("fast-import", "--quiet", "--done", "--force", data=stream)
    except GitFailed as error:
        _remove_crash_report(git, error)
        raise _seal_failed(_first_line(error.stderr)) from error
    written = _WRITTEN.fullmatch(output)
    if written is None:
        raise _seal_failed("fast-import did not print the ids")
    return Sealed(ref, base, written[1].decode(), written[2].decode())


def write_commit(git: Git, tree: str, parent: str, message: str, when: float) -> str:
    """Write a commit of an existing tree; the same arguments give the same id."""
    dates = {f"GIT_{role}_DATE": f"@{int(when)} +0000" for role in ("AUTHOR", "COMMITTER")}
    return git.line(
        "commit-tree", "-p", parent, "-F", "-", tree, data=message.encode(), environment=dates
    )


def seal_message(patch_id: str) -> str:
    return f"Seal {patch_id}\n"


def _stream(plan: Plan, ref: str, patch_id: str, base: str, accepted_at: float) -> bytes:
    message = seal_message(patch_id).encode()
    identity = f"{AUTHOR_NAME} <{AUTHOR_EMAIL}> {int(accepted_at)} +0000"
    head = f"feature done\ncommit {ref}\nmark :1\nauthor {identity}\ncommitter {identity}\n"
    parts = [head.encode(), b"data %d\n" % len(message), message, f"from {base}\n".encode()]
    # Deletions first: a file may take the place of a directory that is deleted,
    # or the other way round.
    for action in plan.actions:
        if action.after is None:
            parts.append(b"D %s\n" % quoted(action.path))
    for action in plan.actions:
        if action.after is not None:
            data = action.after.data
            parts.append(b"M %s inline %s\n" % (action.after.mode.encode(), quoted(action.path)))
            parts += [b"data %d\n" % len(data), data, b"\n"]
    # The ids of the commit and of its tree, without a `git rev-parse` for them.
    parts.append(b'\nget-mark :1\nls :1 ""\ndone\n')
    return b"".join(parts)


def _remove_crash_report(git: Git, error: GitFailed) -> None:
    for report in _CRASH_REPORT.findall(error.stderr):
        (git.directory / Path(report).name).unlink(missing_ok=True)


def _seal_failed(reason: str) -> WorldFailed:
    return WorldFailed(
        "seal_failed",
        f"git could not write the commit: {reason}",
        "See whether the disk is full or read-only, then `gcr retry` the patch.",
    )


def _first_line(stderr: str) -> str:
    lines = stderr.strip().splitlines()
    if not lines:
        return "no message"
    return lines[0][:300]
