"""Parses the names in a diff's headers: quoted, with dates, with prefixes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice

from gpt_cursor_runner.formats.line_diff import common_head

# Of a header line: four times the longest path, if every byte is escaped. The
# search for a date takes the square of a line's length.
_MOST_BYTES = 20_000
# Each candidate costs a comparison of both names.
_MOST_SPACES = 64
_STAMP = re.compile(r"\s+(?=(?:\d{4}-\d\d-\d\d|[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d) ).*$")
# As Subversion writes them.
_REVISION = re.compile(r"\s+\((?:revision \d+|working copy|nonexistent)\)$")
_NONEXISTENT = re.compile(r"\(nonexistent\)$")
_EPOCH = re.compile(
    r"(?P<day>1969-12-31|1970-01-01) (?P<hours>\d\d):(?P<minutes>\d\d):00(?:\.0+)?"
    r" (?P<sign>[-+])(?P<zone_hours>\d\d):?(?P<zone_minutes>\d\d)$"
)
# The minutes from the start of a day to the start of Unix time.
_MIDNIGHTS = {"1969-12-31": 24 * 60, "1970-01-01": 0}
_EPOCH_IN_WORDS = re.compile(r"Thu Jan +0?1 00:00:00 1970(?: [-+]0000)?$")
_GIT_PREFIXES = frozenset(
    {("a/", "b/"), ("a/", None), (None, "b/"), ("b/", "a/"), ("b/", None), (None, "a/")}
)
_ESCAPES = {"a": 7, "b": 8, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13, '"': 34, "\\": 92}
_ESCAPE = re.compile(r"\\([0-7]{3}|.)")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPE_RUN = re.compile(r"((?:\\(?:[0-7]{3}|.))+)")


@dataclass(frozen=True)
class DiffName:
    """One name in a file header; `text` is None for /dev/null. `at_epoch` is
    True for the date that GNU diff gives to a missing file.
    """

    text: str | None
    at_epoch: bool = False


def parse_name(raw: bytes) -> DiffName:
    """Parse the rest of a line `---`, `+++`, `rename from` and the like."""
    line = _decode(raw)
    if quoted := _split_quoted(line):
        name, stamp = quoted
        return DiffName(name, _is_epoch(stamp))
    name, stamp = _split_stamp(line)
    at_epoch = _is_epoch(stamp) or bool(_NONEXISTENT.search(stamp))
    if name == "/dev/null":
        return DiffName(None, at_epoch)
    return DiffName(name, at_epoch)


def _split_quoted(line: str) -> tuple[str, str] | None:
    """The name in quotes at the start of a line, and the rest of the line; None
    when there are no quotes.
    """
    match = _QUOTED.match(line)
    if match is None:
        return None
    return _unquote(match[1]), line[match.end() :].strip()


def _split_stamp(line: str) -> tuple[str, str]:
    """The name and the date or revision after it."""
    name, tab, stamp = line.partition("\t")
    if tab:
        return name.strip(), stamp.strip()
    match = _STAMP.search(line) or _REVISION.search(line)
    if match is None:
        return line.strip(), ""
    return line[: match.start()].strip(), match[0].strip()


def _is_epoch(stamp: str) -> bool:
    """Whether a date is the start of Unix time in some time zone, by the rule of
    `has_epoch_timestamp` in git's apply.c.
    """
    match = _EPOCH.match(stamp)
    if match is None:
        return bool(_EPOCH_IN_WORDS.match(stamp))
    offset = int(match["sign"] + match["zone_hours"]) * 60
    offset += int(match["sign"] + match["zone_minutes"])
    time = int(match["hours"]) * 60 + int(match["minutes"])
    return time - offset == _MIDNIGHTS[match["day"]]


def parse_git_names(raw: bytes) -> tuple[str, str] | None:
    """Parse the two names of a line `diff --git`; None when they differ in more
    than their prefix, as git writes them only beside `rename` or `copy` headers.
    """
    line = _decode(raw)
    if quoted := _split_quoted(line):
        old, rest = quoted
        return old, _without_quotes(rest)
    middle = len(line) // 2
    if line[middle : middle + 1] == " ":
        old, new = line[:middle], line[middle + 1 :]
        if common_strip(old, new) is not None:
            return old, new
    return _split_unequal_names(line)


def _without_quotes(name: str) -> str:
    if name.startswith('"'):
        return _unquote(name[1:-1])
    return name


def _split_unequal_names(line: str) -> tuple[str, str] | None:
    """Two names with prefixes of different lengths: each space may be the one
    between them.
    """
    for space in islice(re.finditer(" ", line), _MOST_SPACES):
        old, new = line[: space.start()], line[space.end() :]
        if common_strip(old, new):
            return old, new
    return None


def _unquote(text: str) -> str:
    """Undo git's C-style quoting."""
    # Octal escapes are bytes, of which several make one UTF-8 character, so a
    # run of escapes is decoded at once, by way of Latin-1.
    pieces = _ESCAPE_RUN.split(text)
    for index in range(1, len(pieces), 2):
        plain = _ESCAPE.sub(_unescape, pieces[index])
        pieces[index] = plain.encode("latin-1", "replace").decode("utf-8", "surrogateescape")
    return "".join(pieces)


def _unescape(match: re.Match[str]) -> str:
    code = match[1]
    if code[0].isdigit():
        return chr(int(code, 8) & 0xFF)
    return chr(_ESCAPES.get(code, ord(code)))


def drop_parts(name: str, count: int) -> str:
    """Drop `count` leading parts of a name, as `patch -p` does.

    Raises ValueError when the name has no more parts.
    """
    if count == 0:
        return name
    parts = re.split("/+", name)
    if len(parts) <= count:
        raise ValueError(
            f"'{name[:80]}' has only {len(parts)} parts, so strip {count} leaves nothing of it"
        )
    return "/".join(parts[count:])


def common_strip(old: str, new: str) -> int | None:
    """The number of leading parts that two names of the same depth have to lose
    to be equal; None when no number makes them equal.
    """
    old_parts, new_parts = old.split("/"), new.split("/")
    if len(old_parts) != len(new_parts):
        return None
    common = common_head(old_parts[::-1], new_parts[::-1])
    if common == 0:
        return None
    return len(old_parts) - common


def has_git_prefixes(old: str | None, new: str | None) -> bool:
    """Whether the names have git's prefixes: `a/` and `b/`, or `b/` and `a/` in
    a reversed diff. None stands for a missing name.
    """
    return (_prefix(old), _prefix(new)) in _GIT_PREFIXES


def _prefix(name: str | None) -> str | None:
    if name is None:
        return None
    return name[:2]


def _decode(raw: bytes) -> str:
    if len(raw) > _MOST_BYTES:
        raise ValueError(f"a file name of {len(raw)} bytes is too long")
    return raw.decode("utf-8", "surrogateescape").rstrip("\r\n")
