"""apply_patch: the envelope `*** Begin Patch` with parts for several files, or
bare V4A hunks for one.
"""

from __future__ import annotations

from gpt_cursor_runner.formats.applying import apply_sections
from gpt_cursor_runner.formats.draft import Draft
from gpt_cursor_runner.formats.envelope.parsing import (
    is_enveloped,
    parse_bare_hunks,
    parse_envelope,
    parse_new_file,
)
from gpt_cursor_runner.formats.sections import Section
from gpt_cursor_runner.patch.model import ApplyPatch


def apply_patch(change: ApplyPatch, plan: ChangePlan) -> None:
    """Make every file's part, or note the faults of all of them."""
    data = change.text.encode()
    if change.path is None:
        apply_sections(parse_envelope(data), draft)
    elif not is_enveloped(data):
        target = change.to or change.path
        apply_sections(
            parse_new_file(data, target)
            if change.create
            else parse_bare_hunks(data, change.path, target),
            draft,
        )
    else:
        reading = parse_envelope(data)
        if not reading.faults and [_wanted(change, section) for section in reading.sections] != [
            True
        ]:
            message = (
                f"'path' and what stands beside it speak of {change.path} alone, but the envelope"
                " says otherwise"
            )
            plan.add_fault(
                "malformed",
                message,
                "Leave 'path', 'create' and 'to' out: the envelope says it all.",
                member="path",
            )
        else:
            apply_sections(reading, draft)


def _wanted(change: ApplyPatch, section: Section) -> bool:
    same = section.path == change.path and section.target == (change.to or section.target)
    return same and (section.verb == "create") == bool(change.create)
