"""A text with search/replace blocks becomes Blocks, each with the file it is
for. Nothing broken is guessed right.

1. Between blocks stands prose; whatever there looks like a marker gone wrong is
   told, since a block may be lost by it.
2. A block reaches from its opening marker to its closing one, or to the next
   opening one if it is never closed.
3. Its divider is the only line of equals signs in it, or the only one of the
   opening marker's length.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from gpt_cursor_runner.formats.blocks.markers import (
    Marker,
    decode_entities,
    holds_entity,
    parse_marker,
    unescape,
)
from gpt_cursor_runner.formats.blocks.names import Known, files_mentioned, name_above
from gpt_cursor_runner.formats.line_diff import NumberedLines
from gpt_cursor_runner.formats.sections import TextFault
from gpt_cursor_runner.formats.text import show, split_lines

_HEADER = re.compile(rb":(start|end)_line:\s*(\d{1,9})\s*$")
_BEGINNING = re.compile(rb"<{1,9}(?: [A-Z]{0,7})?|-{3,} [A-Z]{1,5}")
_RULE = re.compile(rb"-{7}\s*$")
_WORD = re.compile("SEARCH|REPLACE|ORIGINAL|UPDATED")
_FORM = (
    "Write a block as '<<<<<<< SEARCH', the lines of the file, '=======', the new lines, '>>>>>>>"
    " REPLACE'"
)
_ESCAPE = "put a backslash before a line of contents that looks like a marker"


@dataclass(frozen=True)
class Block:
    """One block; `path` is None when nothing says which file it is for.
    `number` counts from 0, `patch_line` from 1.
    """

    number: int
    patch_line: int
    path: str | None
    old: NumberedLines = ()
    new: NumberedLines = ()
    line_hint: int | None = None
    faults: tuple[TextFault, ...] = ()


def parse_blocks(
    data: bytes, path: str | None, known: Known
) -> tuple[list[Block], list[TextFault]]:
    """Every block of a text, past any prose around them; `path` is for blocks
    whose file is not named.

    Problems that belong to no block come second.
    """
    reader = _Reader(split_lines(data), path, known)
    reader.read()
    return reader.blocks, reader.faults


@dataclass
class _Frame:
    """The lines (from 0) between which a block stands, and what stands between
    them that is or resembles a marker.
    """

    start: int
    end: int = 0
    resume: int = 0
    closing: Marker | None = None
    nested: bool = False
    dividers: list[tuple[int, Marker]] = field(default_factory=list)
    spoiled: list[int] = field(default_factory=list)


class _Reader:
    def __init__(self, lines: Sequence[bytes], path: str | None, known: Known) -> None:
        self.lines, self.path, self.known = lines, path, known
        self.current: str | None = None
        self.after_blocks = 0
        self.blocks: list[Block] = []
        self.faults: list[TextFault] = []

    def read(self) -> None:
        at, expected_end = 0, False  # of a block whose beginning was told to be spoiled
        while at < len(self.lines):
            marker = parse_marker(self.lines[at])
            if marker and marker.role == "search":
                at, expected_end = self._block(at, marker), False
                continue
            if marker and (
                marker.role == "spoiled" or (marker.role == "replace" and not expected_end)
            ):
                self._tell_stray(at)
            if marker and marker.role != "divider":
                expected_end = marker.role == "spoiled"
            at += 1
        self._tell_cut_off()
        if not self.blocks and not self.faults:
            self.faults.append(
                TextFault("malformed", "the text holds no search/replace block", f"{_FORM}.", 1)
            )

    def _tell_stray(self, at: int) -> None:
        line = show(self.lines[at], 40)
        like = "a marker" if _WORD.search(line) else "a conflict that a merge left"
        message = f"line {at + 1} ('{line}') looks like {like}, but belongs to no block"
        self.faults.append(
            TextFault("malformed", message, f"{_FORM}, each marker on a line of its own.", at + 1)
        )

    def _tell_cut_off(self) -> None:
        """Tell a text that ends where another block was about to begin: in an
        open fence, or within a marker.
        """
        begun = None
        for row in range(self.after_blocks, len(self.lines)):
            line = self.lines[row].strip()
            if line.startswith((b"```", b"~~~")):
                begun = row if line.strip(b"`~") else None
            elif row + 1 == len(self.lines) and _BEGINNING.fullmatch(line):
                begun = row
        if self.blocks and begun is not None:
            message = (
                f"the text ends after '{show(self.lines[begun], 40)}', where another block begins"
            )
            step = (
                "Send the whole text; if nothing is missing, leave out what stands below the last"
                " block."
            )
            self.faults.append(TextFault("truncated", message, step, begun + 1))

    def _block(self, at: int, opening: Marker) -> int:
        """Read the block that opens at `at`; where reading goes on."""
        number = len(self.blocks)
        frame = _frame(self.lines, at, opening)
        path, unnamed = self._name(at, number)
        divider, faults = _divided(self.lines, frame, opening, number)
        faults += unnamed
        old, new, hint = (
            self._contents(frame, divider, opening, number, faults)
            if divider is not None
            else ((), (), None)
        )
        self.blocks.append(Block(number, at + 1, path, old, new, hint, tuple(faults)))
        self.after_blocks = frame.resume
        return frame.resume

    def _name(self, at: int, number: int) -> tuple[str | None, list[TextFault]]:
        if named := name_above(self.lines, at, self._knows):
            self.current = named
            return named, []
        inherited = self.current or self.path
        if inherited is None:
            message = f"nothing says which file block {number + 1} is for"
            step = (
                "Put the file's name, alone on its line, above the block, or send 'path' beside the"
                " text."
            )
        else:
            others = files_mentioned(self.lines, at, self._knows) if self.current else set()
            if inherited in others or not others:
                return inherited, []
            message = (
                f"block {number + 1} may be for {inherited}, as the one before, or for"
                f" {min(others)}, named above it"
            )
            step = "Put the file's name, alone on its line, above the block."
        return None, [TextFault("malformed", message, step, at + 1, number)]

    def _knows(self, name: str) -> bool:
        return name in (self.current, self.path) or self.known(name)

    def _contents(
        self, frame: _Frame, divider: int, opening: Marker, number: int, faults: list[TextFault]
    ) -> tuple[NumberedLines, NumberedLines, int | None]:
        first, hint = _header(self.lines, frame.start + 1, divider)
        old = [(self.lines[row], row + 1) for row in range(first, divider)]
        new = [(self.lines[row], row + 1) for row in range(divider + 1, frame.end)]
        encoded = {opening.encoded, bool(frame.closing and frame.closing.encoded)}
        if True in encoded:
            faults += _half_encoded([*old, *new], number, mixed=len(encoded) > 1)
            old, new = ([(decode_entities(line), row) for line, row in side] for side in (old, new))
        for line, row in new:
            if _HEADER.match(line):
                message = (
                    f"line {row} ('{show(line, 40)}') is a header of a block, but stands among its"
                    " new lines"
                )
                step = f"Put it below '<<<<<<< SEARCH', or {_ESCAPE}."
                faults.append(TextFault("malformed", message, step, row, number))
        old, new = ([(unescape(line), row) for line, row in side] for side in (old, new))
        return old, new, hint


def _frame(lines: Sequence[bytes], at: int, opening: Marker) -> _Frame:
    frame = _Frame(at, len(lines), len(lines))
    for row in range(at + 1, len(lines)):
        marker = parse_marker(lines[row])
        if marker is None or marker.indent != opening.indent:
            continue
        if marker.role == "divider" and marker.blank_after and opening.signs.startswith(b"-"):
            frame.spoiled.append(row)  # Cline takes it for contents, the others for a divider
        elif marker.role == "divider":
            frame.dividers.append((row, marker))
        elif marker.role == "spoiled":
            # Short ones stand in real files: `-- SEARCH` is a comment of SQL.
            frame.spoiled += [row] if len(marker.signs) >= 5 else []
        else:
            frame.nested = marker.role == "search"
            frame.closing = None if frame.nested else marker
            frame.end, frame.resume = row, row if frame.nested else row + 1
            break
    return frame


def _divided(
    lines: Sequence[bytes], frame: _Frame, opening: Marker, number: int
) -> tuple[int | None, list[TextFault]]:
    """Where the divider of a block stands, and what is wrong with its markers."""
    like_it = [row for row, marker in frame.dividers if len(marker.signs) == len(opening.signs)]
    all_of_them = [row for row, _ in frame.dividers]
    chosen = like_it if len(like_it) == 1 else all_of_them
    begins = f"block {number + 1}, which begins at line {frame.start + 1},"
    told: list[tuple[str, str, str, int]] = []
    if frame.closing is None and not frame.nested:
        message = f"{begins} has no '>>>>>>> REPLACE': the text ends inside it"
        told.append(("truncated", message, "Send the whole text, to its last marker.", frame.start))
    elif frame.nested:
        message = f"{begins} is not closed before another begins at line {frame.end + 1}"
        told.append(
            ("malformed", message, f"Close it with '>>>>>>> REPLACE', or {_ESCAPE}.", frame.end)
        )
    elif not chosen:
        message = f"{begins} has no '=======' between its old and its new lines"
        told.append(("malformed", message, f"{_FORM}.", frame.end))
    if len(chosen) > 1:
        rows = ", ".join(str(row + 1) for row in chosen[:5])
        message = f"{begins} has {len(chosen)} dividers, at lines {rows}"
        told.append(("malformed", message, f"Keep one; {_ESCAPE}, like \\=======.", chosen[1]))
    for row in frame.spoiled[:5]:
        message = (
            f"line {row + 1} ('{show(lines[row], 40)}') is inside block {number + 1} but looks like"
            " a marker"
        )
        told.append(("malformed", message, f"Correct the marker, or {_ESCAPE}.", row))
    faults = [TextFault(code, message, step, row + 1, number) for code, message, step, row in told]
    return (None if faults else chosen[0]), faults


def _header(lines: Sequence[bytes], first: int, divider: int) -> tuple[int, int | None]:
    """Where the old lines start, below Roo's header lines and the rule after
    them, and the line they are said to be.
    """
    hint, at = None, first
    while at < divider and (header := _HEADER.match(lines[at])):
        hint = int(header[2]) if header[1] == b"start" else hint
        at += 1
    if first < at < divider and _RULE.match(lines[at]):
        at += 1
    return at, hint or None


def _half_encoded(contents: NumberedLines, number: int, *, mixed: bool) -> list[TextFault]:
    """Markers in HTML entities say that the whole block went through an
    encoder, so nothing may stand in it plainly.
    """
    encoded = next((row for line, row in contents if holds_entity(line)), None)
    plain = mixed or any(b"<" in line or b">" in line for line, _ in contents)
    if encoded is None or not plain:
        return []
    message = (
        f"block {number + 1} is partly in HTML entities, so those in line {encoded} leave a doubt"
    )
    return [
        TextFault(
            "malformed",
            message,
            "Send the text without HTML entities, just as it is meant.",
            encoded,
            number,
        )
    ]
