"""The names in a diff's headers: quoted, dated, prefixed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import takewhile

_MOST_CHARACTERS = (
    20_000  # of a header line: four times what the longest path takes when every byte is escaped
)
_STAMP = re.compile(r"\s+(?=(?:\d{4}-\d\d-\d\d|[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d) ).*$")
_REVISION = re.compile(
    r"\s+\((?:revision \d+|working copy|nonexistent)\)$"
)  # as Subversion writes them
_NOBODY = re.compile(r"\(nonexistent\)$")
_EPOCH = re.compile(r"(1969-12-31|1970-01-01) (\d\d):(\d\d):00(?:\.0+)? ([-+])(\d\d):?(\d\d)$")
_EPOCH_IN_WORDS = re.compile(r"Thu Jan +0?1 00:00:00 1970(?: [-+]0000)?$")
_ESCAPES = {"a": 7, "b": 8, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13, '"': 34, "\\": 92}


@dataclass(frozen=True)
class DiffName:
    """One side of a file header; `text` is None for /dev/null. `at_epoch`:
    dated as GNU diff dates a missing file.
    """

    text: str | None
    at_epoch: bool = False


def parse_name(raw: bytes) -> DiffName:
    """Read what stands after `---`, `+++`, `rename from` and the like."""
    line = _line(raw)
    if line.startswith('"') and (end := _closing_quote(line)):
        return DiffName(unquote(line[1:end]), is_epoch(line[end + 1 :].strip()))
    name, tab, stamp = line.partition("\t")
    if not tab and (found := _STAMP.search(line) or _REVISION.search(line)):
        name, stamp = line[: found.start()], found[0]
    name, stamp = name.strip(), stamp.strip()
    return DiffName(
        None if name == "/dev/null" else name, is_epoch(stamp) or bool(_NOBODY.search(stamp))
    )


def is_epoch(stamp: str) -> bool:
    """Whether a date is the beginning of Unix time in some zone (the rule of
    git's apply.c, has_epoch_timestamp).
    """
    if found := _EPOCH.match(stamp):
        day, hours, minutes, sign, zone_hours, zone_minutes = found.groups()
        offset = (int(zone_hours) * 60 + int(zone_minutes)) * (1 if sign == "+" else -1)
        return int(hours) * 60 + int(minutes) - offset == (24 * 60 if day == "1969-12-31" else 0)
    return bool(_EPOCH_IN_WORDS.match(stamp))


def parse_git_names(raw: bytes) -> tuple[str, str] | None:
    """The two names of `diff --git`, when they are the same but for their
    prefix; git writes no others there alone.
    """
    line = _line(raw)
    if line.startswith('"') and (end := _closing_quote(line)):
        second = line[end + 1 :].strip()
        return unquote(line[1:end]), unquote(second[1:-1]) if second.startswith('"') else second
    half = len(line) // 2
    old, new = line[:half], line[half + 1 :]
    if line[half : half + 1] == " " and (old == new or common_strip(old, new)):
        return old, new
    # Prefixes of different lengths: each space may be the one between the names.
    for at in [found.start() for found in re.finditer(" ", line)][:64]:
        if common_strip(line[:at], line[at + 1 :]):
            return line[:at], line[at + 1 :]
    return None


def unquote(text: str) -> str:
    """Undo git's C-style quoting."""

    def plain(match: re.Match[str]) -> str:
        code = match[1]
        return chr(int(code, 8) & 0xFF if code[0].isdigit() else _ESCAPES.get(code, ord(code)))

    # Octal escapes are bytes: undone one by one as Latin-1, beside the
    # characters that stood there as they are.
    pieces = re.split(r"((?:\\(?:[0-7]{3}|.))+)", text)
    for index in range(1, len(pieces), 2):
        undone = re.sub(r"\\([0-7]{3}|.)", plain, pieces[index])
        pieces[index] = undone.encode("latin-1", "replace").decode("utf-8", "surrogateescape")
    return "".join(pieces)


def drop_parts(name: str, count: int) -> str:
    """Drop `count` leading parts, as `-p` does; ValueError when the name has no
    more than those.
    """
    parts = re.split("/+", name)
    if len(parts) <= count:
        raise ValueError(
            f"'{name[:80]}' has no more than {count} parts, so nothing is left of it with strip"
            f" {count}"
        )
    return "/".join(parts[count:]) if count else name


def common_strip(old: str, new: str) -> int | None:
    """How few leading parts both names have to lose to be the same; None when
    they never are.
    """
    left, right = old.split("/"), new.split("/")
    shared = sum(
        1
        for _ in takewhile(
            lambda pair: pair[0] == pair[1], zip(reversed(left), reversed(right), strict=False)
        )
    )
    return len(left) - shared if shared and len(left) == len(right) else None


def has_git_prefixes(old: str | None, new: str | None) -> bool:
    """Whether the names carry git's `a/` and `b/`, in the order of a diff or of
    a reversed one.
    """
    return any(
        (old is None or old.startswith(first)) and (new is None or new.startswith(second))
        for first, second in (("a/", "b/"), ("b/", "a/"))
    ) and (old, new) != (None, None)


def _line(raw: bytes) -> str:
    """ValueError for a line that no name can be as long as: searching it for
    dates would take its square.
    """
    if len(raw) > _MOST_CHARACTERS:
        raise ValueError(f"a file name of {len(raw)} bytes is no file name")
    return raw.decode("utf-8", "surrogateescape").rstrip("\r\n")


def _closing_quote(line: str) -> int:
    match = re.match(r'"(?:[^"\\]|\\.)*"', line)
    return match.end() - 1 if match else 0
