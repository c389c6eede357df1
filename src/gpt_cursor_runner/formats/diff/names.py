"""The names in a diff's headers: quoted, dated, prefixed."""

from __future__ import annotations

import re
from dataclasses import dataclass

_STAMP = re.compile(r"\s+(?=(?:\d{4}-\d\d-\d\d|[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d) ).*$")
_EPOCH = re.compile(r"\s(?:1970-01-01|1969-12-31) |Thu Jan +1 00:00:00 1970|Thu Jan 01 00:00:00 1970")
_ESCAPES = {"a": 7, "b": 8, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13, '"': 34, "\\": 92}


@dataclass(frozen=True)
class DiffName:
    """One side of a file header; `text` is None for /dev/null. `at_epoch`: dated as GNU diff dates a missing file."""

    text: str | None
    at_epoch: bool = False


def read_name(raw: bytes) -> DiffName:
    """Read what stands after `---`, `+++`, `rename from` and the like."""
    line = raw.decode("utf-8", "surrogateescape").rstrip("\r\n")
    if line.startswith('"') and (end := _closing_quote(line)):
        return DiffName(unquote(line[1:end]), bool(_EPOCH.search(line[end:])))
    name, tab, _ = line.partition("\t")
    if not tab:
        name = _STAMP.sub("", line)
    name = name.strip()
    return DiffName(None if name == "/dev/null" else name, bool(_EPOCH.search(line)))


def read_git_names(raw: bytes) -> tuple[str, str] | None:
    """The two names of `diff --git`, when they are the same but for their prefix; git writes no others there alone."""
    line = raw.decode("utf-8", "surrogateescape").rstrip("\r\n")
    if line.startswith('"') and (end := _closing_quote(line)):
        second = line[end + 1 :].strip()
        return unquote(line[1:end]), unquote(second[1:-1]) if second.startswith('"') else second
    half = len(line) // 2
    old, new = line[:half], line[half + 1 :]
    same = old == new or old.partition("/")[2] == new.partition("/")[2] != ""
    return (old, new) if line[half : half + 1] == " " and same else None


def unquote(text: str) -> str:
    """Undo git's C-style quoting."""

    def plain(match: re.Match[str]) -> str:
        code = match[1]
        return chr(int(code, 8) & 0xFF if code[0].isdigit() else _ESCAPES.get(code, ord(code)))

    # Octal escapes are bytes: undone one by one as Latin-1, beside the characters that stood there as they are.
    pieces = re.split(r"((?:\\(?:[0-7]{3}|.))+)", text)
    for index in range(1, len(pieces), 2):
        undone = re.sub(r"\\([0-7]{3}|.)", plain, pieces[index])
        pieces[index] = undone.encode("latin-1", "replace").decode("utf-8", "surrogateescape")
    return "".join(pieces)


def drop_parts(name: str, count: int) -> str:
    """Drop `count` leading parts, as `-p` does; ValueError when the name has no more than those."""
    parts = name.split("/")
    if len(parts) <= count:
        raise ValueError(f"'{name[:80]}' has no more than {count} parts, so nothing is left of it with strip {count}")
    return "/".join(parts[count:])


def has_git_prefixes(old: str | None, new: str | None) -> bool:
    """Whether the names carry git's `a/` and `b/`."""
    named = (old is None or old.startswith("a/")) and (new is None or new.startswith("b/"))
    return named and (old, new) != (None, None)


def _closing_quote(line: str) -> int:
    match = re.match(r'"(?:[^"\\]|\\.)*"', line)
    return match.end() - 1 if match else 0
