"""apply_patch: the envelope `*** Begin Patch` with parts for several files, or
bare V4A hunks for one file.
"""

from __future__ import annotations

from gpt_cursor_runner.formats.applying_sections import apply_sections
from gpt_cursor_runner.formats.change_plan import ChangePlan
from gpt_cursor_runner.formats.envelope.parsing import (
    is_enveloped,
    parse_bare_hunks,
    parse_envelope,
    parse_new_file,
)
from gpt_cursor_runner.formats.sections import ParsedPatch, Section
from gpt_cursor_runner.patch.model import ApplyPatch


def apply_patch(change: ApplyPatch, plan: ChangePlan) -> None:
    """Apply every file's part, or add the faults of all of them."""
    data = change.text.encode()
    if change.path is not None and not is_enveloped(data):
        apply_sections(_parse_bare(change, change.path, data), plan)
        return
    parsed = parse_envelope(data)
    if not _is_contradicted(change, parsed):
        apply_sections(parsed, plan)
        return
    plan.add_fault(
        "malformed",
        f"'path' and the members beside it declare a change of {change.path} alone, but the"
        " envelope has other changes",
        "Leave 'path', 'create' and 'to' out: the envelope has all of these.",
        member="path",
    )


def _parse_bare(change: ApplyPatch, path: str, data: bytes) -> ParsedPatch:
    target = change.to or path
    if change.create:
        return parse_new_file(data, target)
    return parse_bare_hunks(data, path, target)


def _is_contradicted(change: ApplyPatch, parsed: ParsedPatch) -> bool:
    """Whether the members beside the text declare another change than its only
    section. Some clients always send the path, so both may agree.
    """
    # If they differ, either of them may be wrong.
    if change.path is None or parsed.faults:
        return False
    return len(parsed.sections) != 1 or not _matches(change, parsed.sections[0])


def _matches(change: ApplyPatch, section: Section) -> bool:
    declared = (change.path, change.to or section.target, bool(change.create))
    return declared == (section.path, section.target, section.verb == "create")
