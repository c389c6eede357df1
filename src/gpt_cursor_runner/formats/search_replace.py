"""search_replace: blocks of lines to find and of lines to replace them with, in
the dialects of aider, Cline and Roo.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from gpt_cursor_runner.formats.applying_sections import apply_sections
from gpt_cursor_runner.formats.blocks.numbering import count_numbered, first_number, without_numbers
from gpt_cursor_runner.formats.blocks.parsing import Block, parse_blocks
from gpt_cursor_runner.formats.change_plan import ChangePlan
from gpt_cursor_runner.formats.hunks import Hunk, HunkLine
from gpt_cursor_runner.formats.line_diff import NumberedLines, diff_lines
from gpt_cursor_runner.formats.overlay import FILE_KINDS
from gpt_cursor_runner.formats.sections import ParsedPatch, Section, TextFault, Verb
from gpt_cursor_runner.formats.text import Text
from gpt_cursor_runner.formats.virtual_tree import Refusal, Spoiled, VirtualTree
from gpt_cursor_runner.patch.model import SearchReplace
from gpt_cursor_runner.patch.paths import UnsafePath, parse_path


def search_replace(change: SearchReplace, plan: ChangePlan) -> None:
    """Apply every block, or add the faults of all of them. Consecutive blocks
    for one file make one section.
    """
    blocks, faults = parse_blocks(
        change.text.encode(), change.path, lambda name: _is_file(name, plan.tree)
    )
    for block in blocks:
        if block.path is None:
            faults += block.faults
    apply_sections(ParsedPatch((), faults), plan)
    for path, group in _group_by_file(blocks):
        # Section by section, since an earlier one may create the file.
        section = _section(group, path, _text_of(path, plan.tree))
        apply_sections(ParsedPatch((section,)), plan)


def _group_by_file(blocks: Iterable[Block]) -> Iterator[tuple[str, list[Block]]]:
    """Yield consecutive blocks for one file, apart from those without a file."""
    named = [block for block in blocks if block.path]
    for (path, _), group in groupby(named, key=_group_of):
        yield path, list(group)


def _group_of(block: Block) -> tuple[str, int | None]:
    path = block.path or ""
    # A block with a whole new file is a group of its own.
    if _is_new_file(block):
        return path, block.number
    return path, None


def _is_new_file(block: Block) -> bool:
    """Whether a block without old lines has the contents of a new file."""
    return not block.faults and _is_blank(block.old)


def _is_blank(lines: NumberedLines) -> bool:
    return not any(line.strip() for line, _ in lines)


def _is_file(name: str, tree: VirtualTree) -> bool:
    try:
        return tree.kind(parse_path(name)) in FILE_KINDS
    except UnsafePath:
        return False


def _text_of(name: str, tree: VirtualTree) -> Text | None:
    """The file after the earlier changes; None when no file can be edited."""
    try:
        return Text(tree.file(parse_path(name)).data)
    except (UnsafePath, Refusal, Spoiled):
        return None


def _section(blocks: Sequence[Block], path: str, text: Text | None) -> Section:
    if _is_new_file(blocks[0]):
        return _new_file_section(blocks[0], path, text)
    return _edit_section(blocks, path, text)


def _new_file_section(block: Block, path: str, text: Text | None) -> Section:
    """The section of a block without old lines: it creates a file, or fills an
    empty one.
    """
    faults: tuple[TextFault, ...] = ()
    if _is_blank(block.new):
        message = f"block {block.number + 1} has neither old nor new lines"
        step = (
            "Put the lines of the new file below '======='; for an empty file send an upsert with"
            " empty contents."
        )
        faults = (TextFault("no_op", message, step, block.patch_line, block.number),)
    lines = tuple(HunkLine("+", line, row) for line, row in block.new)
    hunk = Hunk(block.number, lines, block.patch_line, 0, 1)
    return Section(block.patch_line, _new_file_verb(text), path, path, (hunk,), faults=faults)


def _new_file_verb(text: Text | None) -> Verb:
    is_empty_file = text is not None and not text.data
    if is_empty_file:
        return "change"
    return "create"


def _edit_section(blocks: Sequence[Block], path: str, text: Text | None) -> Section:
    hunks: list[Hunk] = []
    faults: list[TextFault] = []
    for parsed_block in blocks:
        block = parsed_block
        if text:
            block = _without_line_numbers(block, path, text)
        block = _refuse_without_effect(block)
        faults += block.faults
        if not block.faults:
            lines = diff_lines(block.old, block.new)
            hunks.append(Hunk(block.number, lines, block.patch_line, block.line_hint))
    first_line = blocks[0].patch_line
    return Section(first_line, "change", path, path, tuple(hunks), faults=tuple(faults))


def _refuse_without_effect(block: Block) -> Block:
    if block.faults or _without_rows(block.old) != _without_rows(block.new):
        return block
    # Models repeat the old lines by mistake; success would hide that.
    message = f"block {block.number + 1} replaces its lines by the same lines"
    step = "Put the lines that you want below '=======', or leave the block out."
    return _refused(block, "no_op", message, step)


def _without_rows(lines: NumberedLines) -> list[bytes]:
    return [line for line, _ in lines]


def _without_line_numbers(block: Block, path: str, text: Text) -> Block:
    """The block without the line numbers of a numbered view, unless the file
    itself has these.
    """
    first = first_number(block.old)
    if first is None or _has_line_of(block, text):
        return block
    message = _describe_wrong_numbers(block, first, path, text)
    if message:
        step = "Read the file again, and send its lines without numbers."
        return _refused(block, "malformed", message, step)
    return replace(
        block,
        old=without_numbers(block.old),
        new=without_numbers(block.new),
        line_hint=block.line_hint or first,
    )


def _describe_wrong_numbers(block: Block, first: int, path: str, text: Text) -> str | None:
    if 0 < count_numbered(block.new) < len(block.new):
        return f"block {block.number + 1} has line numbers before only some of its new lines"
    last = first + len(block.old) - 1
    if last > len(text.lines):
        return (
            f"block {block.number + 1} numbers its lines {first} to {last}, but {path}"
            f" has {len(text.lines)} lines"
        )
    return None


def _has_line_of(block: Block, text: Text) -> bool:
    """Whether any old line of the block, numbers included, is in the file."""
    # The rows of a table may look like numbered lines.
    old = {line.strip() for line, _ in block.old}
    return any(line.strip() in old for line in text.lines)


def _refused(block: Block, code: str, message: str, step: str) -> Block:
    fault = TextFault(code, message, step, block.patch_line, block.number)
    return replace(block, faults=(fault,))
