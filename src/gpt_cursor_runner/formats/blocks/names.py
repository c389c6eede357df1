"""Which file a block is for, as its surroundings say: a name above the marker
or above the fence, or in the fence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

Known = Callable[[str], bool]  # whether a file of this name is there

_LONGEST = 1200
_FENCE = re.compile(
    r"(?:`{3,}|~{3,})(?P<info>.*)|</?[A-Za-z_]+>|(?:<content>)?<!\[CDATA\[|\]\]>(?:</content>)?"
)
_TAGGED = re.compile(r"<(path|file|file_path|filename|target_file)>(?P<name>[^<>]+)</\1>")
_ATTRIBUTE = re.compile(r"(?:title|file|filename|file_path|path)=", re.IGNORECASE)
_BEFORE = re.compile(r"^(?:#+|>+|//+|/\*+|<!--|;+|[-*+](?=\s)|\d{1,3}[.)](?=\s))\s*")
_AFTER = re.compile(
    r"\s*(?:\*/|-->|:|\((?:a )?(?:new|updated|modified|existing|created)(?: file)?\))$",
    re.IGNORECASE,
)
_LABEL = re.compile(
    r"^\**(?:(?:new |modified )?file(?: ?name| ?path)?|path)\s*\**\s*:\s*\**\s*", re.IGNORECASE
)
_QUOTES = ("**", "`", '"', "'", "*")
_LIKE_A_PATH = re.compile(r"(?!\.{2,}$)(?!.*://)(?:.*/.*|.*\.\w+)")
_INTRODUCED = re.compile(r"\s[`*\"']*([^\s`*\"']+)[`*\"']*\s*:\s*[*]*$")
_WORDS = re.compile(r"[^\s`*\"'(),;:<>]+")


def name_above(lines: Sequence[bytes], at: int, known: Known) -> str | None:
    """The file named above the marker at `at`; None when nothing there is a
    file's name.
    """
    names = [name for name in _candidates(lines, at, known) if name]
    return next((name for name in names if known(name)), names[0] if names else None)


def files_mentioned(lines: Sequence[bytes], at: int, known: Known) -> set[str]:
    """Which files the text line nearest above the marker speaks of."""
    nearest = next((line for line in _upwards(lines, at) if not _FENCE.fullmatch(line)), "")
    words = (_plain(word.rstrip(".")) for word in _WORDS.findall(nearest))
    return {word for word in words if _LIKE_A_PATH.fullmatch(word) and known(word)}


def _candidates(lines: Sequence[bytes], at: int, known: Known) -> Iterator[str | None]:
    for line in _upwards(lines, at):
        fence = _FENCE.fullmatch(line)
        if fence is None:
            yield _name_in(line, known)
            return
        yield _name_in_fence(fence["info"] or "")


def _upwards(lines: Sequence[bytes], at: int) -> Iterator[str]:
    """The lines above that hold anything, nearest first. Another block's marker
    is no name, so the walk ends there.
    """
    for number in range(at - 1, -1, -1):
        if line := lines[number][:_LONGEST].decode("utf-8", "replace").strip():
            yield line


def _name_in_fence(info: str) -> str | None:
    word = _ATTRIBUTE.sub("", (info.split() or [""])[-1]).strip("{}`\"'")
    language, colon, rest = word.partition(":")
    return _path_in(rest if colon and language.isalnum() else word)


def _name_in(line: str, known: Known) -> str | None:
    if tagged := _TAGGED.fullmatch(line):
        return _plain(tagged["name"].strip())
    name, quoted = _undecorated(line)
    if name and (known(_plain(name)) or ((" " not in name or quoted) and _is_name(name, quoted))):
        return _plain(name)
    # "Then in `src/app.py`:" announces what follows; any other sentence only
    # speaks of files.
    announced = _INTRODUCED.search(line)
    return _plain(announced[1]) if announced and known(_plain(announced[1])) else None


def _is_name(name: str, quoted: bool) -> bool:
    return bool(_LIKE_A_PATH.fullmatch(name)) or quoted or name.endswith("file")


def _undecorated(line: str) -> tuple[str, bool]:
    """The line without headings, bullets, labels, quotes; and whether backticks
    quoted what is left.
    """
    quoted = False
    while True:
        shorter = _AFTER.sub("", _LABEL.sub("", _BEFORE.sub("", line, count=1), count=1)).strip()
        for quote in _QUOTES:
            if (
                len(shorter) > 2 * len(quote)
                and shorter.startswith(quote)
                and shorter.endswith(quote)
            ):
                shorter = shorter[len(quote) : -len(quote)].strip()
                quoted = quoted or quote == "`"
        if shorter == line:
            return ("", False) if "`" in line else (line, quoted)
        line = shorter


def _path_in(word: str) -> str | None:
    return _plain(word) if _LIKE_A_PATH.fullmatch(word) else None


def _plain(name: str) -> str:
    """The name without the `./` that some write before it."""
    return name.removeprefix("./")
