"""search_replace: blocks of lines to find and lines to put there, in the
dialects of aider, Cline and Roo.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby

from gpt_cursor_runner.formats.applying import apply_sections
from gpt_cursor_runner.formats.blocks.numbering import count_numbered, first_number, without_numbers
from gpt_cursor_runner.formats.blocks.parsing import Block, parse_blocks
from gpt_cursor_runner.formats.draft import Draft
from gpt_cursor_runner.formats.hunks import Hunk, HunkLine
from gpt_cursor_runner.formats.line_diff import NumberedLines, diff_lines
from gpt_cursor_runner.formats.sections import ParsedPatch, Section, TextFault, Verb
from gpt_cursor_runner.formats.text import Text
from gpt_cursor_runner.formats.virtual_tree import Refusal, Spoiled, VirtualTree
from gpt_cursor_runner.patch.model import SearchReplace
from gpt_cursor_runner.patch.paths import UnsafePath, parse_path


def search_replace(change: SearchReplace, plan: ChangePlan) -> None:
    """Make every block, or note the faults of all of them. Blocks in a row for
    one file are judged together.
    """
    blocks, faults = parse_blocks(
        change.text.encode(), change.path, lambda name: _is_file(name, draft.tree)
    )
    homeless = [fault for block in blocks if block.path is None for fault in block.faults]
    apply_sections(ParsedPatch((), [*faults, *homeless]), draft)
    for path, row in _rows(blocks):
        # One by one, since whether a file is there depends on the blocks before.
        text = _text_of(path, plan.tree)
        section = (
            _new_file(row[0], path, text)
            if _is_blank(row[0].old) and _is_sound(row[0])
            else _edits(row, path, text)
        )
        apply_sections(ParsedPatch((section,)), draft)


def _rows(blocks: Iterable[Block]) -> list[tuple[str, list[Block]]]:
    """Blocks in a row for one file; one that stands for a whole new file is a
    row of its own.
    """

    def key(block: Block) -> tuple[str, int]:
        return block.path or "", block.number if _is_blank(block.old) and _is_sound(block) else -1

    return [
        (path, list(row))
        for (path, _), row in groupby((block for block in blocks if block.path), key)
    ]


def _is_sound(block: Block) -> bool:
    return not block.faults


def _is_blank(lines: NumberedLines) -> bool:
    return not any(line.strip() for line, _ in lines)


def _is_file(name: str, tree: VirtualTree) -> bool:
    try:
        return tree.kind(parse_path(name)) in ("file", "executable")
    except UnsafePath:
        return False


def _text_of(name: str, tree: VirtualTree) -> Text | None:
    """The file as the changes so far leave it; None when there is none that
    could be edited.
    """
    try:
        return Text(tree.file(parse_path(name)).data)
    except (UnsafePath, Refusal, Spoiled):
        return None


def _new_file(block: Block, path: str, text: Text | None) -> Section:
    """A block with nothing to search for: the contents of a file that is not
    there, or is empty.
    """
    faults: tuple[TextFault, ...] = ()
    if _is_blank(block.new):
        step = (
            "Put the lines of the new file below '======='; for an empty file send an upsert with"
            " empty contents."
        )
        message = f"block {block.number + 1} has neither old nor new lines"
        faults = (TextFault("no_op", message, step, block.patch_line, block.number),)
    lines = tuple(HunkLine("+", line, row) for line, row in block.new)
    hunk = Hunk(block.number, lines, block.patch_line, 0, 1)
    verb: Verb = "change" if text is not None and not text.data else "create"
    return Section(block.patch_line, verb, path, path, (hunk,), faults=faults)


def _edits(row: Sequence[Block], path: str, text: Text | None) -> Section:
    mended = [_unnumbered(block, path, text) if text else block for block in row]
    judged = [_with_effect(block) for block in mended]
    hunks = tuple(
        Hunk(block.number, diff_lines(block.old, block.new), block.patch_line, block.line_hint)
        for block in judged
        if _is_sound(block)
    )
    faults = tuple(fault for block in judged for fault in block.faults)
    return Section(row[0].patch_line, "change", path, path, hunks, faults=faults)


def _with_effect(block: Block) -> Block:
    if block.faults or [line for line, _ in block.old] != [line for line, _ in block.new]:
        return block
    message = f"block {block.number + 1} replaces its lines by the same lines"
    step = "Put the lines you want below '=======', or leave the block out."
    return replace(
        block, faults=(TextFault("no_op", message, step, block.patch_line, block.number),)
    )


def _unnumbered(block: Block, path: str, text: Text) -> Block:
    """The block without the line numbers that a numbered view put before its
    lines, unless the file has them too.
    """
    first = first_number(block.old)
    if first is None or {line.strip() for line, _ in block.old} & {
        line.strip() for line in text.lines
    }:
        return block
    numbered, last = count_numbered(block.new), first + len(block.old) - 1
    message = None
    if 0 < numbered < len(block.new):
        message = (
            f"block {block.number + 1} has line numbers before some of its new lines, but not"
            " before all"
        )
    elif last > len(text.lines):
        message = (
            f"block {block.number + 1} shows lines {first} to {last}, but {path} has"
            f" {len(text.lines)} lines"
        )
    if message:
        step = "Read the file again, and send its lines without numbers."
        return replace(
            block, faults=(TextFault("malformed", message, step, block.patch_line, block.number),)
        )
    old, new, hint = (
        without_numbers(block.old),
        without_numbers(block.new),
        block.line_hint or first,
    )
    return replace(block, old=old, new=new, line_hint=hint)
