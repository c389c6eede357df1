"""Parses the text of an `apply_patch` call: an envelope with parts for several
files, or bare lines for one file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from posixpath import basename

from gpt_cursor_runner.formats.envelope.boundaries import (
    BEGIN,
    END,
    FILE_HEADERS,
    Span,
    find_patches,
    inside_fence,
)
from gpt_cursor_runner.formats.envelope.hunks import END_OF_FILE, parse_hunks
from gpt_cursor_runner.formats.envelope.rows import find_filled
from gpt_cursor_runner.formats.hunks import Hunk, HunkLine
from gpt_cursor_runner.formats.sections import ParsedPatch, Section, TextFault, Verb
from gpt_cursor_runner.formats.text import show, split_lines

_VERBS: dict[bytes, Verb] = dict(zip(FILE_HEADERS, ("create", "delete", "change"), strict=True))
_FILE_HEADER = re.compile(b"(" + b"|".join(map(re.escape, FILE_HEADERS)) + b")(.*)", re.DOTALL)
_DIFF_HEADER = (b"--- ", b"+++ ", b"@@")
_MOVE = b"*** Move to:"
_HEADER_STEP = (
    "Start each file with *** Add File: path, *** Delete File: path or *** Update File: path."
)
_ADD_STEP = "Put + before every line of a new file, also before a blank one."
_NO_PATCH = TextFault(
    "malformed",
    "the text is not a patch: it has neither *** Begin Patch nor a line *** Update File:",
    f"{_HEADER_STEP} Or send the bare hunks with 'path' beside them.",
    1,
)


def parse_envelope(data: bytes) -> ParsedPatch:
    """Parse every file's part of one or several envelopes, and skip the text
    around them.
    """
    lines = _split(data)
    patches = find_patches(lines)
    if patches.is_empty:
        return ParsedPatch((), (_NO_PATCH,))
    sections: list[Section] = []
    faults = list(patches.faults)
    for span in patches.spans:
        parsed = _parse_span(lines, span)
        sections += parsed.sections
        faults += parsed.faults
    return ParsedPatch(tuple(sections), tuple(faults))


def _parse_span(lines: Sequence[bytes], span: Span) -> ParsedPatch:
    parser = _Parser(lines, span)
    parser.parse()
    if not span.complete:
        # The last section may have been cut off in the middle.
        return ParsedPatch(parser.sections[:-1])
    if not parser.sections and not parser.faults:
        fault = TextFault("malformed", "the envelope is empty", _HEADER_STEP, span.start + 1)
        return ParsedPatch((), (fault,))
    return ParsedPatch(parser.sections, parser.faults)


def is_enveloped(data: bytes) -> bool:
    """Whether a text names its files itself."""
    lines = split_lines(data)
    if any(map(_opens_patch, lines)):
        return True
    # The first line may be indented.
    first = find_filled(lines, range(len(lines)))
    return first is not None and lines[first].strip() == BEGIN


def _opens_patch(line: bytes) -> bool:
    return line.rstrip() == BEGIN or line.startswith(FILE_HEADERS)


def parse_bare_hunks(data: bytes, path: str, target: str) -> ParsedPatch:
    """Parse bare hunks for the file at `path`, which moves when `target` is
    another path.
    """
    lines = _split(data)
    span = inside_fence(lines)
    end = _end_of_bare_lines(lines, span)
    hunks = parse_hunks(lines, _after_file_header(lines, span.start, end, path), end)
    faults = list(hunks.faults)
    if hunks.end < end:
        faults.append(_unexpected_line(lines, hunks.end))
    if not hunks.hunks and not faults:
        step = "Open a hunk with @@ and send its lines."
        faults.append(TextFault("malformed", "the text has no hunk", step, 1))
    section = Section(
        span.start + 1, _update_verb(path, target), path, target, hunks.hunks, faults=tuple(faults)
    )
    return _of_one_section(section, span, lines)


def parse_new_file(data: bytes, path: str) -> ParsedPatch:
    """Parse the bare `+` lines of a new file. Its last line ends in a newline
    only if a bare `+` follows it.
    """
    lines = _split(data)
    span = inside_fence(lines)
    end = _end_of_bare_lines(lines, span)
    added, after = _parse_added_file(lines, span.start, span.start, end, path)
    faults = list(added.faults)
    if after < end:
        faults.append(_unexpected_line(lines, after))
    # openai-agents, whose form this is, joins the lines with newlines.
    hunks = tuple(map(_without_last_newline, added.hunks))
    if not hunks and not faults:
        message = "the text has no line of a new file"
        faults.append(TextFault("malformed", message, _ADD_STEP, span.start + 1))
    section = Section(span.start + 1, "create", path, path, hunks, faults=tuple(faults))
    return _of_one_section(section, span, lines)


class _Parser:
    """Parses the sections between two markers."""

    def __init__(self, lines: Sequence[bytes], span: Span) -> None:
        self.lines, self.at, self.end = lines, span.start, span.end
        self.folder = ""
        if span.folder not in ("", "."):
            self.folder = span.folder.rstrip("/") + "/"
        self.sections: list[Section] = []
        self.faults: list[TextFault] = []

    def parse(self) -> None:
        while self.at < self.end:
            line = self.lines[self.at].strip()
            if header := _FILE_HEADER.match(line):
                self.sections.append(self._parse_section(header))
            elif line in (b"", END_OF_FILE):
                self.at += 1
            else:
                self.faults.append(_unexpected_line(self.lines, self.at))
                self.at = _next_marker(self.lines, self.at + 1, self.end)

    def _parse_section(self, header: re.Match[bytes]) -> Section:
        verb, path = _VERBS[header[1]], self._path(header[2])
        header_at = self.at
        self.at += 1
        if verb == "create":
            section, self.at = _parse_added_file(self.lines, header_at, self.at, self.end, path)
            return section
        if verb == "delete":
            return Section(header_at + 1, verb, path, path)
        return self._parse_update(header_at, path)

    def _parse_update(self, header_at: int, path: str) -> Section:
        target = self._parse_target(path)
        start = _after_file_header(self.lines, self.at, self.end, path)
        hunks = parse_hunks(self.lines, start, self.end)
        self.at = hunks.end
        verb = _update_verb(path, target)
        faults = hunks.faults
        if verb == "change" and hunks.is_empty:
            message = f"the part that updates {path} has no hunk"
            step = "Send hunks after the header, each opened by @@, or leave the header out."
            faults = (TextFault("malformed", message, step, header_at + 1),)
        return Section(header_at + 1, verb, path, target, hunks.hunks, faults=faults)

    def _parse_target(self, path: str) -> str:
        """The path that a file moves to; `path` if it stays."""
        if self.at == self.end or not self.lines[self.at].startswith(_MOVE):
            return path
        target = self.lines[self.at].strip().removeprefix(_MOVE)
        self.at += 1
        return self._path(target)

    def _path(self, raw: bytes) -> str:
        name = raw.strip().decode("utf-8", "surrogateescape")
        return self.folder + name.removeprefix("./")


def _update_verb(path: str, target: str) -> Verb:
    return "change" if path == target else "move"


def _parse_added_file(
    lines: Sequence[bytes], header: int, at: int, end: int, path: str
) -> tuple[Section, int]:
    """The section of a new file whose `+` lines start at `at`, and the line
    after the section. `header` is the line that the section starts at.
    """
    body = list(_added_lines(lines, at, end))
    at += len(body)
    after = find_filled(lines, range(at, end))
    faults: tuple[TextFault, ...] = ()
    if after is None:
        after = end
    elif not lines[after].strip().startswith(b"***"):
        message = f"line {at + 1} of the patch has no +: '{show(lines[at])}'"
        faults = (TextFault("malformed", message, _ADD_STEP, at + 1),)
        after = _next_marker(lines, after, end)
    hunks: tuple[Hunk, ...] = ()
    if body:
        hunks = (Hunk(0, tuple(body), header + 1),)
    return Section(header + 1, "create", path, path, hunks, faults=faults), after


def _added_lines(lines: Sequence[bytes], start: int, end: int) -> Iterator[HunkLine]:
    for at in range(start, end):
        line = lines[at]
        if not line.startswith(b"+"):
            return
        yield HunkLine("+", line[1:], at + 1)


def _after_file_header(lines: Sequence[bytes], at: int, end: int, path: str) -> int:
    """The line after `---` and `+++` above the first hunk, which models write
    by habit from diffs; `at` without these.
    """
    if at + 2 >= end or not all(map(bytes.startswith, lines[at : at + 3], _DIFF_HEADER)):
        return at
    # Other names would be a deleted and an inserted line.
    names = {basename(line[4:].strip().decode("utf-8", "replace")) for line in lines[at : at + 2]}
    if names != {basename(path)}:
        return at
    return at + 2


def _end_of_bare_lines(lines: Sequence[bytes], span: Span) -> int:
    """The end of bare lines: models add the marker that ends an envelope."""
    last = find_filled(lines, range(span.end - 1, span.start - 1, -1))
    if last is not None and lines[last].rstrip() == END:
        return last
    return span.end


def _of_one_section(section: Section, span: Span, lines: Sequence[bytes]) -> ParsedPatch:
    if span.complete:
        return ParsedPatch((section,))
    message = "the fence around the patch is not closed: text is missing"
    step = "Send the complete text, with its closing fence or with none."
    return ParsedPatch((), (TextFault("truncated", message, step, len(lines)),))


def _unexpected_line(lines: Sequence[bytes], at: int) -> TextFault:
    message = f"'{show(lines[at])}' does not begin the part of a file"
    return TextFault("malformed", message, _HEADER_STEP, at + 1)


def _next_marker(lines: Sequence[bytes], at: int, end: int) -> int:
    while at < end and not lines[at].startswith(b"***"):
        at += 1
    return at


def _without_last_newline(hunk: Hunk) -> Hunk:
    last = hunk.lines[-1]
    data = last.data.removesuffix(b"\n").removesuffix(b"\r")
    lines = (*hunk.lines[:-1], HunkLine("+", data, last.patch_line))
    return Hunk(hunk.number, lines, hunk.patch_line)


def _split(data: bytes) -> list[bytes]:
    """The lines of a text. The last one is often sent without a line end and
    gets the one of the line above.
    """
    above, _, last = data.rpartition(b"\n")
    if not last:
        return split_lines(data)
    if above.endswith(b"\r"):
        return split_lines(data + b"\r\n")
    return split_lines(data + b"\n")
