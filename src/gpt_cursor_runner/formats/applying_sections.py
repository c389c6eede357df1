"""Applies the sections of a textual patch to the virtual tree, in the same way
for every format.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from gpt_cursor_runner.formats.change_plan import ChangePlan
from gpt_cursor_runner.formats.matching.applying import apply_hunks
from gpt_cursor_runner.formats.sections import Binary, ParsedPatch, Section, TextFault, Verb
from gpt_cursor_runner.formats.three_way import merge_section
from gpt_cursor_runner.formats.tree import File, FileMode
from gpt_cursor_runner.formats.virtual_tree import DetachedFile, Refusal, Spoiled, VirtualTree
from gpt_cursor_runner.patch.paths import UnsafePath, parse_path

_MODES: dict[str | None, FileMode | None] = {None: None, "100644": "100644", "100755": "100755"}


@dataclass(frozen=True)
class _Part:
    """A section with its parsed paths."""

    section: Section
    source: str
    target: str


def apply_sections(parsed: ParsedPatch, plan: ChangePlan) -> None:
    """Apply every section in order, or add the faults of all of them."""
    for fault in parsed.faults:
        _add_fault(fault, plan)
    plan.budget.sections_left -= len(parsed.sections)
    if plan.budget.sections_left < 0:
        message = "the patch has too many parts of files"
        step = "Send it as several patches, one after another."
        plan.add_fault("limit", message, step, member="text")
        return
    parts = _parse_paths(parsed.sections, plan)
    detached: dict[str, DetachedFile] = {}
    if parsed.at_once:
        parts = _deletions_first(parts)
        detached = _detach_sources(parts, plan.tree)
    for part in parts:
        paths = {part.source, part.target}
        with plan.collect_refusals(*paths, member="text", patch_line=part.section.patch_line):
            _apply(part, detached.get(part.source), plan)


def _parse_paths(sections: Iterable[Section], plan: ChangePlan) -> list[_Part]:
    parts = []
    for section in sections:
        try:
            source, target = parse_path(section.path), parse_path(section.target)
        except UnsafePath as unsafe:
            plan.add_fault(
                unsafe.code,
                unsafe.message,
                unsafe.next_step,
                member="text",
                patch_line=section.patch_line,
            )
        else:
            parts.append(_Part(section, source, target))
    return parts


def _deletions_first(parts: list[_Part]) -> list[_Part]:
    """git applies deletions first, so that a file can take the place of a
    folder. A file that an earlier section makes is deleted in its turn.
    """
    made: set[str] = set()
    deletions: list[_Part] = []
    others: list[_Part] = []
    for part in parts:
        if part.section.verb == "delete" and part.target not in made:
            deletions.append(part)
        else:
            others.append(part)
        made.add(part.target)
    return deletions + others


def _detach_sources(parts: Iterable[_Part], tree: VirtualTree) -> dict[str, DetachedFile]:
    """The source files of copies and moves. Moved files leave the tree at once,
    so that sections can exchange files. A missing source is refused later, when
    its section is applied.
    """
    detached: dict[str, DetachedFile] = {}
    # Copies first: they read files that moves take away.
    for source in _sources(parts, "copy"):
        with suppress(Refusal, Spoiled):
            detached[source] = DetachedFile(tree.file(source), source)
    for source in _sources(parts, "move"):
        with suppress(Refusal, Spoiled):
            detached[source] = tree.detach(source)
    return detached


def _sources(parts: Iterable[_Part], verb: Verb) -> list[str]:
    return [
        part.source for part in parts if part.section.verb == verb and part.source != part.target
    ]


def _add_fault(fault: TextFault, plan: ChangePlan, path: str | None = None) -> None:
    plan.add_fault(
        fault.code,
        fault.message,
        fault.next_step,
        member="text",
        path=path,
        patch_line=fault.patch_line,
        hunk=fault.hunk,
    )


def _apply(part: _Part, detached: DetachedFile | None, plan: ChangePlan) -> None:
    section, target = part.section, part.target
    for fault in section.faults:
        _add_fault(fault, plan, target)
    if section.verb == "delete":
        _delete(section, target, plan)
        return
    if section.mode not in _MODES:
        raise Refusal(
            "not_a_file",
            target,
            f"the mode {section.mode} is not that of a regular file",
            "Use the mode 100644 or 100755.",
        )
    if section.verb == "create":
        _create(section, target, plan)
    else:
        _change(part, detached, plan)


def _create(section: Section, path: str, plan: ChangePlan) -> None:
    _refuse_old_lines(section, path)
    data = _new_contents(section, path)
    if section.faults:
        return
    plan.tree.create(path, File(data, _MODES[section.mode] or "100644"))
    for hunk in section.hunks:
        plan.add_placed_hunk(path, 1, "exact", hunk.number)


def _refuse_old_lines(section: Section, path: str) -> None:
    if any(hunk.old for hunk in section.hunks):
        raise Refusal(
            "malformed",
            path,
            f"the header declares {path} a new file, but its hunk has context or deleted lines",
            "Put + before every line of a new file; to change an existing file, correct its"
            " header.",
        )


def _new_contents(section: Section, path: str) -> bytes:
    if section.binary:
        return _apply_binary(section.binary, b"", path)
    lines: list[bytes] = []
    for hunk in section.hunks:
        lines += hunk.inserted
    return b"".join(lines)


def _delete(section: Section, path: str, plan: ChangePlan) -> None:
    before = _file_to_edit(section, path, plan)
    after = _edited(section, before, path, plan)
    if after is None or section.faults:
        return
    # A section without hunks, such as `*** Delete File`, deletes the file with
    # any contents.
    if section.hunks or section.binary:
        _refuse_rest(after, path)
    plan.tree.delete(path)


def _refuse_rest(after: bytes, path: str) -> None:
    if after:
        raise Refusal(
            "conflict",
            path,
            f"the diff deletes {path}, but the file has more lines than the diff deletes",
            "Send a delete change for the file, or a diff that deletes every line of it.",
        )


def _change(part: _Part, detached: DetachedFile | None, plan: ChangePlan) -> None:
    section, target = part.section, part.target
    if section.verb == "move":
        _move(part, detached, plan)
    elif section.verb == "copy":
        _copy(part, detached, plan)
    before = _file_to_edit(section, target, plan)
    after = _edited(section, before, target, plan)
    if after is not None and not section.faults:
        plan.tree.write(target, File(after, _MODES[section.mode] or before.mode))


def _move(part: _Part, detached: DetachedFile | None, plan: ChangePlan) -> None:
    if detached:
        plan.tree.attach(part.target, detached)
    else:
        plan.tree.move(part.source, part.target)


def _copy(part: _Part, detached: DetachedFile | None, plan: ChangePlan) -> None:
    if detached:
        plan.tree.create(part.target, detached.file)
    else:
        plan.tree.create(part.target, plan.tree.file(part.source))


def _file_to_edit(section: Section, path: str, plan: ChangePlan) -> File:
    return plan.tree.text_file(path) if section.hunks else plan.tree.file(path)


def _edited(section: Section, before: File, path: str, plan: ChangePlan) -> bytes | None:
    """The contents after the section; None when one of its hunks was refused."""
    if section.binary:
        return _apply_binary(section.binary, before.data, path)
    trial = plan.start_trial()
    after = apply_hunks(section.hunks, before, path, trial)
    if after is None and plan.may_merge and not section.faults:
        return merge_section(section, before, path, plan, trial)
    plan.accept_trial(trial)
    return after


def _apply_binary(binary: Binary, before: bytes, path: str) -> bytes:
    try:
        return binary.apply(before)
    except ValueError as error:
        step = (
            "Make the diff against the current file, or send the file as an upsert with"
            " contents_b64."
        )
        raise Refusal("binary", path, f"{path}: {error}", step) from error
