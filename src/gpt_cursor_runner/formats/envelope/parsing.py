"""The text of an `apply_patch` call becomes sections: an envelope of several
files, or bare lines for one.
"""

from __future__ import annotations

from collections.abc import Sequence
from posixpath import basename

from gpt_cursor_runner.formats.envelope.boundaries import (
    BEGIN,
    END,
    FILE_HEADERS,
    Span,
    find_patch,
    unfenced,
)
from gpt_cursor_runner.formats.envelope.hunks import END_OF_FILE, ParsedHunks, parse_hunks
from gpt_cursor_runner.formats.hunks import Hunk, HunkLine
from gpt_cursor_runner.formats.sections import ParsedPatch, Section, TextFault, Verb
from gpt_cursor_runner.formats.text import show, split_lines

_VERBS: dict[bytes, Verb] = dict(zip(FILE_HEADERS, ("create", "delete", "change"), strict=True))
_MOVE = b"*** Move to:"
_HEADER_STEP = (
    "Start each file with *** Add File: path, *** Delete File: path or *** Update File: path."
)
_ADD_STEP = "Put + before every line of a new file, also before a blank one."
_TOO_LITTLE = TextFault(
    "malformed",
    "the text is no patch: it has neither *** Begin Patch nor a *** Update File: line",
    f"{_HEADER_STEP} Or send the bare hunks with 'path' beside them.",
    1,
)


def parse_envelope(data: bytes) -> ParsedPatch:
    """Read every file's part of an envelope, or of several, past any text
    around them.
    """
    lines = _lines(data)
    wrapped = find_patch(lines)
    sections: list[Section] = []
    faults = list(wrapped.faults)
    for span in wrapped.spans:
        reader = _Reader(lines, span)
        reader.read()
        # Of a text that was cut off, nobody knows how the last part would have
        # gone on.
        sections += reader.sections if span.whole else reader.sections[:-1]
        faults += reader.faults if span.whole else []
        if not (reader.sections or reader.faults) and span.whole:
            faults.append(
                TextFault("malformed", "the envelope is empty", _HEADER_STEP, span.start + 1)
            )
    if not wrapped.spans and not faults:
        faults.append(_TOO_LITTLE)
    return ParsedPatch(tuple(sections), tuple(faults))


def is_enveloped(data: bytes) -> bool:
    """Whether a text names its files itself."""
    lines = split_lines(data)
    first = next((line.strip() for line in lines if line.strip()), b"")
    return first == BEGIN or any(
        line.rstrip() == BEGIN or line.startswith(FILE_HEADERS) for line in lines
    )


def parse_bare_hunks(data: bytes, path: str, target: str) -> ParsedPatch:
    """Read bare hunks for the file at `path`, which moves when `target` is
    another.
    """
    lines = _lines(data)
    span = unfenced(lines)
    end = _end(lines, span)
    hunks = parse_hunks(lines, _past_names(lines, span.start, end, path), end)
    faults = list(hunks.faults)
    if hunks.end < end:
        faults.append(_stray(lines, hunks.end))
    if not (hunks.hunks or faults):
        faults.append(
            TextFault(
                "malformed", "the text has no hunk", "Open a hunk with @@ and send its lines.", 1
            )
        )
    verb: Verb = "change" if path == target else "move"
    section = Section(span.start + 1, verb, path, target, hunks.hunks, faults=tuple(faults))
    return ParsedPatch((section,) if span.whole else (), _cut_off(lines, span))


def parse_new_file(data: bytes, path: str) -> ParsedPatch:
    """Read the bare `+` lines of a new file; its last line ends in a newline
    only if a bare `+` follows it.
    """
    lines = _lines(data)
    span = unfenced(lines)
    section, end = _added(lines, span.start, _end(lines, span), path)
    faults = [*section.faults, *([_stray(lines, end)] if end < _end(lines, span) else [])]
    hunks = tuple(_unended(hunk) for hunk in section.hunks)
    if not (hunks or faults):
        faults.append(
            TextFault("malformed", "the text has no line of a new file", _ADD_STEP, span.start + 1)
        )
    section = Section(span.start + 1, "create", path, path, hunks, faults=tuple(faults))
    return ParsedPatch((section,) if span.whole else (), _cut_off(lines, span))


class _Reader:
    """The sections between two markers."""

    def __init__(self, lines: Sequence[bytes], span: Span) -> None:
        self.lines, self.at, self.end = lines, span.start, span.end
        self.folder = "" if span.folder in ("", ".") else span.folder.rstrip("/") + "/"
        self.sections: list[Section] = []
        self.faults: list[TextFault] = []

    def read(self) -> None:
        while self.at < self.end:
            line = self.lines[self.at].strip()
            header = next((mark for mark in FILE_HEADERS if line.startswith(mark)), None)
            if header:
                self._section(_VERBS[header], self._name(line.removeprefix(header)))
            elif not line or line == END_OF_FILE:
                self.at += 1
            else:
                self.faults.append(_stray(self.lines, self.at))
                self.at += 1
                while self.at < self.end and not self.lines[self.at].startswith(b"***"):
                    self.at += 1

    def _section(self, verb: Verb, path: str) -> None:
        start = self.at
        self.at += 1
        if verb == "create":
            section, self.at = _added(self.lines, self.at, self.end, path, start)
        elif verb == "delete":
            section = Section(start + 1, verb, path, path)
        else:
            section = self._update(start, path)
        self.sections.append(section)

    def _update(self, start: int, path: str) -> Section:
        target = path
        if self.at < self.end and self.lines[self.at].startswith(_MOVE):
            target = self._name(self.lines[self.at].strip().removeprefix(_MOVE))
            self.at += 1
        hunks = parse_hunks(self.lines, _past_names(self.lines, self.at, self.end, path), self.end)
        self.at = hunks.end
        verb: Verb = "change" if path == target else "move"
        return Section(
            start + 1, verb, path, target, hunks.hunks, faults=_judged(hunks, verb, path, start)
        )

    def _name(self, raw: bytes) -> str:
        name = raw.strip().decode("utf-8", "surrogateescape")
        return self.folder + name.removeprefix("./")


def _judged(hunks: ParsedHunks, verb: Verb, path: str, start: int) -> tuple[TextFault, ...]:
    if hunks.hunks or hunks.faults or verb == "move":
        return hunks.faults
    step = "Send hunks after the header, each opened by @@, or leave the header out."
    return (TextFault("malformed", f"the part that updates {path} has no hunk", step, start + 1),)


def _added(
    lines: Sequence[bytes], at: int, end: int, path: str, header: int | None = None
) -> tuple[Section, int]:
    """The section of a new file whose `+` lines start at `at`, and the line
    after it.
    """
    start = at if header is None else header
    body: list[HunkLine] = []
    faults: tuple[TextFault, ...] = ()
    while at < end and lines[at].startswith(b"+"):
        body.append(HunkLine("+", lines[at][1:], at + 1))
        at += 1
    following = next((number for number in range(at, end) if lines[number].strip()), end)
    if following < end and not lines[following].strip().startswith(b"***"):
        message = f"line {at + 1} of the patch has no +: '{show(lines[at])}'"
        faults = (TextFault("malformed", message, _ADD_STEP, at + 1),)
        following = next(
            (number for number in range(following, end) if lines[number].startswith(b"***")), end
        )
    hunks = (Hunk(0, tuple(body), start + 1),) if body else ()
    return Section(start + 1, "create", path, path, hunks, faults=faults), following


def _past_names(lines: Sequence[bytes], at: int, end: int, path: str) -> int:
    """Past `---` and `+++` when they name this very file above its first hunk:
    no lines, but a habit from diffs.
    """
    habit = (b"--- ", b"+++ ", b"@@")
    if at + 2 < end and all(lines[at + below].startswith(mark) for below, mark in enumerate(habit)):
        names = [
            basename(lines[number][4:].strip().decode("utf-8", "replace"))
            for number in (at, at + 1)
        ]
        if names == [basename(path)] * 2:
            return at + 2
    return at


def _end(lines: Sequence[bytes], span: Span) -> int:
    """Where bare lines end: a marker that ends a patch may stand below them."""
    filled = next(
        (at for at in range(span.end - 1, span.start - 1, -1) if lines[at].strip()), span.start
    )
    return filled if filled < span.end and lines[filled].rstrip() == END else span.end


def _cut_off(lines: Sequence[bytes], span: Span) -> tuple[TextFault, ...]:
    if span.whole:
        return ()
    message = "the fence around the patch is not closed: text is missing"
    return (
        TextFault(
            "truncated",
            message,
            "Send the whole text, with its closing fence or with none.",
            len(lines),
        ),
    )


def _stray(lines: Sequence[bytes], at: int) -> TextFault:
    return TextFault(
        "malformed", f"'{show(lines[at])}' begins no file's part of a patch", _HEADER_STEP, at + 1
    )


def _unended(hunk: Hunk) -> Hunk:
    last = hunk.lines[-1]
    data = last.data.removesuffix(b"\n").removesuffix(b"\r")
    return Hunk(
        hunk.number, (*hunk.lines[:-1], HunkLine("+", data, last.patch_line)), hunk.patch_line
    )


def _lines(data: bytes) -> list[bytes]:
    """The lines of a text; the last is often sent without its line end and gets
    the one of the line above.
    """
    lines = split_lines(data)
    if lines and not lines[-1].endswith(b"\n"):
        lines[-1] += b"\r\n" if len(lines) > 1 and lines[-2].endswith(b"\r\n") else b"\n"
    return lines
