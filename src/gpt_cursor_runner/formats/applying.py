"""The sections of a textual patch are made on the plan's tree, whichever
format they came in.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from gpt_cursor_runner.formats.draft import Draft
from gpt_cursor_runner.formats.matching.placing import placed_edits
from gpt_cursor_runner.formats.sections import ParsedPatch, Section, TextFault
from gpt_cursor_runner.formats.three_way import merge_in
from gpt_cursor_runner.formats.tree import File, FileMode
from gpt_cursor_runner.formats.virtual_tree import Refusal, Spoiled, Taken, VirtualTree
from gpt_cursor_runner.patch.paths import UnsafePath, parse_path

Part = tuple[Section, str, str]  # with its source and its target as parsed paths

_MODES: dict[str | None, FileMode | None] = {None: None, "100644": "100644", "100755": "100755"}


def apply_sections(reading: ParsedPatch, draft: Draft) -> None:
    """Make every section in order, or note the faults of all of them."""
    for fault in reading.faults:
        _note(fault, draft)
    draft.patience.left_sections -= len(reading.sections)
    if draft.patience.left_sections < 0:
        step = "Send it as several patches, one after another."
        plan.add_fault("limit", "the patch speaks of too many parts of files", step, member="text")
        return
    parts = _parsed(reading.sections, plan)
    taken = dict[str, Taken]()
    if reading.at_once:
        parts, taken = _in_gits_order(parts), _sources(parts, plan.tree)
    for section, source, target in parts:
        with plan.collect_refusals(*{source, target}, member="text", patch_line=section.patch_line):
            _make(section, source, target, taken.get(source), plan)


def _parsed(sections: Iterable[Section], plan: ChangePlan) -> list[Part]:
    parts = []
    for section in sections:
        try:
            parts.append((section, parse_path(section.path), parse_path(section.target)))
        except UnsafePath as unsafe:
            step = "Name files inside the repository, like src/app.py."
            plan.add_fault(
                "path_escape", str(unsafe), step, member="text", patch_line=section.patch_line
            )
    return parts


def _in_gits_order(parts: list[Part]) -> list[Part]:
    """Deletions first, so that a file may come to stand where a folder was. One
    of a file made here waits for it.
    """
    made = set[str]()
    first, later = list[Part](), list[Part]()
    for part in parts:
        section, _, target = part
        (first if section.verb == "delete" and target not in made else later).append(part)
        made.add(target)
    return first + later


def _sources(parts: Iterable[Part], tree: VirtualTree) -> dict[str, Taken]:
    """What is copied or moved; the moved leave their places at once. A missing
    one is told when its turn comes.
    """
    taken = dict[str, Taken]()
    for verb in ("copy", "move"):
        for source in (
            source for section, source, target in parts if section.verb == verb and source != target
        ):
            with suppress(Refusal, Spoiled):
                taken[source] = (
                    Taken(tree.file(source), source) if verb == "copy" else tree.take(source)
                )
    return taken


def _note(fault: TextFault, draft: Draft, path: str | None = None) -> None:
    draft.fault(
        fault.code,
        fault.message,
        fault.next_step,
        member="text",
        path=path,
        patch_line=fault.patch_line,
        hunk=fault.hunk,
    )


def _make(section: Section, source: str, target: str, taken: Taken | None, draft: Draft) -> None:
    for fault in section.faults:
        _note(fault, draft, target)
    if section.mode not in _MODES and section.verb != "delete":
        raise Refusal(
            "not_a_file",
            target,
            f"the mode {section.mode} is not one of a regular file",
            "Only 100644 and 100755 are made by a patch.",
        )
    if section.verb == "create":
        _create(section, target, plan)
    elif section.verb == "delete":
        _delete(section, target, plan)
    else:
        _change(section, source, target, taken, plan)


def _create(section: Section, path: str, plan: ChangePlan) -> None:
    if any(hunk.old for hunk in section.hunks):
        raise Refusal(
            "malformed",
            path,
            f"{path} is said to be new, but its hunk has context or deleted lines",
            "Put + before every line of a new file; to change an existing one, say so in its"
            " header.",
        )
    data = b"".join(line for hunk in section.hunks for line in hunk.inserted)
    if section.binary:
        data = _applied(section, b"", path)
    if not section.faults:
        draft.tree.create(path, File(data, _MODES[section.mode] or "100644"))
        for hunk in section.hunks:
            plan.add_placed_hunk(path, 1, "exact", hunk.number)


def _delete(section: Section, path: str, draft: Draft) -> None:
    before = draft.tree.text_file(path) if section.hunks else draft.tree.file(path)
    after = _outcome(section, before, path, draft)
    if after is None or section.faults:
        return
    if after and (section.hunks or section.binary):
        raise Refusal(
            "conflict",
            path,
            f"the diff deletes {path}, but the file holds more than the lines it deletes",
            "Send a delete change for the file, or a diff that deletes every line it holds now.",
        )
    plan.tree.delete(path)


def _change(
    section: Section, source: str, target: str, taken: Taken | None, plan: ChangePlan
) -> None:
    if section.verb == "move" and taken:
        plan.tree.put(target, taken)
    elif section.verb == "move":
        plan.tree.move(source, target)
    elif section.verb == "copy":
        draft.tree.create(target, taken.file if taken else draft.tree.file(source))
    before = draft.tree.text_file(target) if section.hunks else draft.tree.file(target)
    after = _outcome(section, before, target, draft)
    if after is not None and not section.faults:
        draft.tree.write(target, File(after, _MODES[section.mode] or before.mode))


def _outcome(section: Section, before: File, path: str, plan: ChangePlan) -> bytes | None:
    """The bytes after the section; None when any of its hunks was refused."""
    if section.binary:
        return _applied(section, before.data, path)
    trial = draft.trial()
    after = placed_edits(section.hunks, before, path, trial)
    if after is None and draft.merges and not section.faults:
        return merge_in(section, before, path, draft, trial)
    draft.adopt(trial)
    return after


def _applied(section: Section, before: bytes, path: str) -> bytes:
    if section.binary is None:
        return before
    try:
        return section.binary.apply(before)
    except ValueError as wrong:
        step = (
            "Make the diff against the file as it is now, or send the file as an upsert with"
            " contents_b64."
        )
        raise Refusal("binary", path, f"{path}: {wrong}", step) from wrong
