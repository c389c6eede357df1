"""Parses a unified diff, plain or git's, into one FileDiff for each file."""

from __future__ import annotations

import re

from gpt_cursor_runner.formats.diff.binary import parse_binary
from gpt_cursor_runner.formats.diff.files import FileDiff
from gpt_cursor_runner.formats.diff.headers import find_disagreement, parse_header_line
from gpt_cursor_runner.formats.diff.hunks import parse_hunk, starts_without_header
from gpt_cursor_runner.formats.diff.lines import DiffLines
from gpt_cursor_runner.formats.diff.names import DiffName, parse_git_names, parse_name
from gpt_cursor_runner.formats.diff.unsupported import find_unsupported
from gpt_cursor_runner.formats.sections import TextFault

_MAIL = re.compile(rb"From [0-9a-f]{40,64} ")
# After one of these, text may start with + or - and is no part of a hunk.
_ENDS_OF_HUNKS = (b"--", b"```", b"diff -", b"Index: ", b"From ")
_NO_DIFF = TextFault(
    "malformed",
    "the text is not a unified diff: it has neither a file header nor a hunk",
    "Start each file with '--- a/path' and '+++ b/path', each hunk with '@@ -line,count"
    " +line,count @@'.",
    1,
)


def parse_diff(data: bytes) -> tuple[list[FileDiff], list[TextFault]]:
    """Parse every file of a diff and skip the text around it. The second list
    has the faults that belong to no file.
    """
    parser = _Parser(DiffLines(data))
    parser.parse()
    for file in parser.files:
        parser.check_complete(file)
    return parser.files, parser.faults


class _Parser:
    def __init__(self, lines: DiffLines) -> None:
        self.lines = lines
        self.at = 0
        self.files: list[FileDiff] = []
        self.faults: list[TextFault] = []
        self.mail = 0
        self.in_git_header = False  # between `diff --git` and the line that ends its header
        self.after_names = False
        self.after_hunk = False
        self.trust_counts = True

    def parse(self) -> None:
        while self.at < len(self.lines):
            self._parse_part()
        if not self.files and not self.faults:
            self.faults.append(_NO_DIFF)

    def _parse_part(self) -> None:
        start = self.at
        try:
            self._parse_next(self.lines[start])
        except ValueError as error:
            # A name that is too long, or has a broken escape.
            step = "Send the header lines as the tool wrote them."
            self.faults.append(TextFault("malformed", str(error), step, start + 1))
            self.at = start + 1

    def _parse_next(self, line: bytes) -> None:
        if line.startswith(b"diff --git "):
            self._parse_git_line(line)
        elif self.lines.is_file_header(self.at):
            self._parse_names()
        elif self._starts_hunk(line):
            self._parse_hunk()
        else:
            self._parse_outside_hunk(line)

    def _starts_hunk(self, line: bytes) -> bool:
        if line.startswith(b"@@"):
            return True
        return self.after_names and starts_without_header(line)

    def _parse_outside_hunk(self, line: bytes) -> None:
        if line.startswith(b"GIT binary patch") and self.files:
            self._parse_binary()
        elif self._is_stray_change(line):
            self._refuse_stray_change()
        elif self._parse_header_line(line):
            self.at += 1
        else:
            self._skip_text(line)

    def _parse_header_line(self, line: bytes) -> bool:
        return self.in_git_header and parse_header_line(self.files[-1], line, self.at)

    def _parse_git_line(self, line: bytes) -> None:
        file = FileDiff(self.at + 1, is_git=True, mail=self.mail)
        self.files.append(file)
        self.in_git_header, self.after_names, self.after_hunk = True, False, False
        if names := parse_git_names(line.removeprefix(b"diff --git ")):
            file.git_names = names
            file.old, file.new = DiffName(names[0]), DiffName(names[1])
        self.at += 1

    def _parse_names(self) -> None:
        old = parse_name(self.lines[self.at][4:])
        new = parse_name(self.lines[self.at + 1][4:])
        if not self.in_git_header:
            self.files.append(FileDiff(self.at + 1, mail=self.mail))
        file = self.files[-1]
        # `rename from` and `copy from` name files exactly; `---` adds a prefix.
        if not file.has_two_paths:
            file.old, file.new = old, new
        self.in_git_header, self.after_names, self.after_hunk = False, True, False
        self.at += 2

    def _parse_hunk(self) -> None:
        file = self._file_of_hunk()
        # Refused hunks count too: the numbers are those that the sender sees.
        number = len(file.hunks) + len(file.faults)
        parsed = parse_hunk(self.lines, self.at, number, trust_counts=self.trust_counts)
        if parsed.hunk:
            file.hunks.append(parsed.hunk)
        if parsed.fault:
            file.faults.append(parsed.fault)
        if parsed.miscounted:
            self.trust_counts = False
        self.in_git_header, self.after_names, self.after_hunk = False, False, True
        self.at = parsed.end

    def _file_of_hunk(self) -> FileDiff:
        if not self.files:
            self.files.append(FileDiff(self.at + 1, named=False))
        return self.files[-1]

    def _parse_binary(self) -> None:
        parsed = parse_binary(self.lines.all, self.at)
        file = self.files[-1]
        file.forward, file.backward = parsed.forward, parsed.backward
        file.faults += parsed.faults
        self.in_git_header = False
        self.at = parsed.end

    def _is_stray_change(self, line: bytes) -> bool:
        """Whether a changed line follows a hunk that ended before it."""
        if not self.after_hunk or not line.startswith((b"+", b"-")):
            return False
        return line.strip() != b"--" and not self.lines.is_half_a_header(self.at)

    def _refuse_stray_change(self) -> None:
        message = (
            f"line {self.at + 1} of the patch looks like part of a hunk but stands outside of any"
            " hunk"
        )
        step = "Start every context line of a hunk with a space; correct the lines above this one."
        self.files[-1].faults.append(TextFault("malformed", message, step, self.at + 1))
        self.after_hunk = False
        self.at += 1

    def _skip_text(self, line: bytes) -> None:
        if line.startswith(_ENDS_OF_HUNKS):
            self.after_hunk = False
        if _MAIL.match(line):
            self.mail += 1
        if line.strip() and not line.startswith(b"\\"):
            self._refuse_unsupported()
            self.in_git_header = False
        self.after_names = False
        self.at += 1

    def _refuse_unsupported(self) -> None:
        fault = find_unsupported(self.lines, self.at, has_files=bool(self.files))
        if fault is None:
            return
        if self.in_git_header:
            self.files[-1].faults.append(fault)
        else:
            self.faults.append(fault)

    def check_complete(self, file: FileDiff) -> None:
        """Refuse a file without the lines that its headers announce: texts are
        often cut off there.
        """
        if file.faults:
            return
        message = self._missing_part(file)
        if message:
            step = "Send the hunks of this file and all its header lines, or leave the file out."
            code = self._code_of_incomplete(file)
            file.faults.append(TextFault(code, message, step, file.patch_line))

    def _missing_part(self, file: FileDiff) -> str | None:
        if file.lacks_lines:
            return "the file header has no hunk after it"
        disagreement = find_disagreement(file, self.lines[file.patch_line - 1])
        if disagreement:
            return disagreement
        # Any text below the header of a new file shows that the diff went on.
        if file.is_bare_new_file and self._ends_in_header_of(file):
            return "the text ends before the lines of the new file"
        return None

    def _ends_in_header_of(self, file: FileDiff) -> bool:
        return file is self.files[-1] and (self.in_git_header or self.after_names)

    def _code_of_incomplete(self, file: FileDiff) -> str:
        if file is self.files[-1] and not file.hunks:
            return "truncated"
        return "malformed"
