"""apply_patch: the envelope `*** Begin Patch` with parts for several files, or bare V4A hunks for one."""

from __future__ import annotations

from gpt_cursor_runner.formats.draft import Draft
from gpt_cursor_runner.formats.envelope.reading import is_enveloped, read_bare, read_envelope, read_new_file
from gpt_cursor_runner.formats.making import make_sections
from gpt_cursor_runner.formats.sections import Reading, Section
from gpt_cursor_runner.formats.virtual_tree import Refusal, Spoiled
from gpt_cursor_runner.patch.model import ApplyPatch
from gpt_cursor_runner.patch.paths import UnsafePath, parse_path


def apply_patch(change: ApplyPatch, draft: Draft) -> None:
    """Make every file's part, or note the faults of all of them."""
    data = change.text.encode()
    if change.path is None:
        _make(read_envelope(data), draft)
    elif not is_enveloped(data):
        target = change.to or change.path
        _make(read_new_file(data, target) if change.create else read_bare(data, change.path, target), draft)
    else:
        reading = read_envelope(data)
        if not reading.problems and [_wanted(change, section) for section in reading.sections] != [True]:
            message = f"'path' and what stands beside it speak of {change.path} alone, but the envelope says otherwise"
            draft.fault(
                "malformed", message, "Leave 'path', 'create' and 'to' out: the envelope says it all.", member="path"
            )
        else:
            _make(reading, draft)


def _wanted(change: ApplyPatch, section: Section) -> bool:
    same = section.path == change.path and section.target == (change.to or section.target)
    return same and (section.verb == "create") == bool(change.create)


def _make(reading: Reading, draft: Draft) -> None:
    make_sections(Reading((), reading.problems), draft)
    for section in reading.sections:
        # One by one, since what stands at a path depends on the sections before.
        if not _appends_to_no_text(section, draft):
            make_sections(Reading((section,)), draft)


def _appends_to_no_text(section: Section, draft: Draft) -> bool:
    """Whether lines of UTF-8 would go, unseen, to the end of a file in another encoding: that is refused."""
    if section.verb not in ("change", "move") or all(hunk.old for hunk in section.hunks):
        return False
    try:
        path = parse_path(section.path)
        draft.tree.text_file(path).data.decode()
    except UnicodeDecodeError:
        step = "Send lines of the file as context around the insertion, or the whole file with contents_b64."
        message = f"{path} is not UTF-8, so lines without context are not added to it"
        draft.fault("encoding", message, step, member="text", path=path, patch_line=section.patch_line)
        draft.tree.spoil(path, draft.change)
        return True
    except (UnsafePath, Refusal, Spoiled):
        pass  # told by the making of the section
    return False
