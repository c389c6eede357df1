"""The changes that speak of whole files: upsert, delete, move and chmod."""

from __future__ import annotations

from gpt_cursor_runner.formats.change_plan import ChangePlan
from gpt_cursor_runner.formats.tree import File, FileMode
from gpt_cursor_runner.patch.model import Chmod, Delete, Mode, Move, Upsert

_MODES: dict[Mode, FileMode] = {"644": "100644", "755": "100755"}


def upsert(change: Upsert, plan: ChangePlan) -> None:
    """Write a whole file. A file that exists keeps its mode unless the change
    names one; it may be refused instead.
    """
    with plan.collect_refusals(change.path):
        if change.on_exists == "refuse":
            plan.tree.create(change.path, File(change.data, _MODES[change.mode or "644"]))
            return
        before = (
            plan.tree.file(change.path)
            if plan.tree.kind(change.path) in ("file", "executable")
            else None
        )
        if not _expected(change.path, before, change.expect_sha256, plan):
            return
        kept = before.mode if before else "100644"
        after = File(change.data, _MODES[change.mode] if change.mode else kept)
        plan.tree.write(change.path, after)
        if before == after:
            _note_idle(plan, change.path, f"{change.path} holds exactly these contents already")


def delete(change: Delete, plan: ChangePlan) -> None:
    """Delete a file that exists."""
    with plan.collect_refusals(change.path):
        if _expected(change.path, plan.tree.file(change.path), change.expect_sha256, plan):
            plan.tree.delete(change.path)


def move(change: Move, plan: ChangePlan) -> None:
    """Move a file to a path where nothing stands."""
    with plan.collect_refusals(change.from_, change.to, member="from"):
        plan.tree.file(change.from_)
        with plan.collect_refusals(change.from_, change.to, member="to"):
            plan.tree.move(change.from_, change.to)


def chmod(change: Chmod, plan: ChangePlan) -> None:
    """Set or clear the executable bit."""
    with plan.collect_refusals(change.path):
        before = plan.tree.file(change.path)
        after = File(before.data, _MODES[change.mode])
        plan.tree.write(change.path, after)
        if before == after:
            _note_idle(plan, change.path, f"{change.path} has the mode {change.mode} already")


def _expected(path: str, file: File | None, sha256: str | None, plan: ChangePlan) -> bool:
    if sha256 is None or (file and file.sha256 == sha256):
        return True
    plan.add_fault(
        "base_mismatch",
        f"{path} is not the version this change was made for" if file else f"{path} does not exist",
        (
            "Read the file again, make the change for what it holds now, and send its present"
            " SHA-256 (file_sha256)."
            if file
            else "Leave expect_sha256 out to create the file."
        ),
        member="expect_sha256",
        path=path,
        file_sha256=file.sha256 if file else None,
    )
    return False


def _note_idle(plan: ChangePlan, path: str, message: str) -> None:
    plan.no_effect.append(
        plan.make_fault(
            "already_applied",
            message,
            "Nothing is left to do: do not send this patch again.",
            member="path",
            path=path,
        )
    )
