"""The changes of whole files: upsert, delete, move and chmod."""

from __future__ import annotations

from gpt_cursor_runner.formats.change_plan import ChangePlan
from gpt_cursor_runner.formats.overlay import FILE_KINDS
from gpt_cursor_runner.formats.tree import File, FileMode
from gpt_cursor_runner.patch.faults import Fault
from gpt_cursor_runner.patch.model import Chmod, Delete, Mode, Move, Upsert

_MODES: dict[Mode, FileMode] = {"644": "100644", "755": "100755"}


def upsert(change: Upsert, plan: ChangePlan) -> None:
    """Write a whole file. An existing file keeps its mode unless the change
    names one; with `on_exists: refuse` it is refused.
    """
    with plan.collect_refusals(change.path):
        if change.on_exists == "refuse":
            plan.tree.create(change.path, File(change.data, _mode_after(change, None)))
            return
        before = _file_at(change.path, plan)
        if not _is_expected(change.path, before, change.expect_sha256, plan):
            return
        after = File(change.data, _mode_after(change, before))
        plan.tree.write(change.path, after)
        if before == after:
            _add_idle(plan, change.path, f"{change.path} already has exactly these contents")


def _file_at(path: str, plan: ChangePlan) -> File | None:
    if plan.tree.kind(path) in FILE_KINDS:
        return plan.tree.file(path)
    return None


def _mode_after(change: Upsert, before: File | None) -> FileMode:
    if change.mode:
        return _MODES[change.mode]
    if before:
        return before.mode
    return "100644"


def delete(change: Delete, plan: ChangePlan) -> None:
    """Delete an existing file."""
    with plan.collect_refusals(change.path):
        file = plan.tree.file(change.path)
        if _is_expected(change.path, file, change.expect_sha256, plan):
            plan.tree.delete(change.path)


def move(change: Move, plan: ChangePlan) -> None:
    """Move a file to a free path."""
    # The inner block attributes what is wrong with the target to `to`.
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
            _add_idle(plan, change.path, f"{change.path} already has the mode {change.mode}")


def _is_expected(path: str, file: File | None, sha256: str | None, plan: ChangePlan) -> bool:
    if sha256 is None:
        return True
    if file is None:
        plan.add_fault(
            "base_mismatch",
            f"{path} does not exist",
            "Leave expect_sha256 out to create the file.",
            member="expect_sha256",
            path=path,
        )
        return False
    if file.sha256 == sha256:
        return True
    plan.add_fault(
        "base_mismatch",
        f"{path} is not the version this change was made for",
        "Read the file again, make the change for its current contents, and send its current"
        " SHA-256 (file_sha256).",
        member="expect_sha256",
        path=path,
        file_sha256=file.sha256,
    )
    return False


def _add_idle(plan: ChangePlan, path: str, message: str) -> None:
    # A change without effect is a fault only if all others have none either.
    fault = Fault(
        "already_applied",
        message,
        "Do not send this patch again: it has no effect.",
        plan.pointer("path"),
        plan.change,
        path=path,
    )
    plan.no_effect.append(fault)
