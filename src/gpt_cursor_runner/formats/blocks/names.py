"""Finds the file that a block is for: its name is above the marker, above the
fence, or in the fence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, filterfalse

FileExists = Callable[[str], bool]

_MOST_CHARACTERS = 1200  # of a line that may name a file
_FENCE = re.compile(
    r"(?:`{3,}|~{3,})(?:.*\s)?(?P<last_word>\S*)|</?[A-Za-z_]+>|(?:<content>)?<!\[CDATA\[|\]\]>(?:</content>)?"
)
_TAGGED = re.compile(r"<(path|file|file_path|filename|target_file)>(?P<name>[^<>]+)</\1>")
_ATTRIBUTE = re.compile(r"(?:title|file|filename|file_path|path)=", re.IGNORECASE)
_LANGUAGE = re.compile(r"[^\W_]+:")
# Headings, quotations, comments, bullets and numbers of a list.
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
# Without quotes a name has no spaces; some names, like Makefile, have no dot.
_LIKE_A_NAME = re.compile(rf"(?!.* )(?:{_LIKE_A_PATH.pattern}|.*file)")
# The last word before a colon, as in "Then in `src/app.py`:".
_INTRODUCED = re.compile(r"\s[`*\"']*([^\s`*\"']+)[`*\"']*\s*:\s*[*]*$")
_WORDS = re.compile(r"[^\s`*\"'(),;:<>]+")


def name_above(lines: Sequence[bytes], at: int, file_exists: FileExists) -> str | None:
    """Return the file named above the marker at `at`: an existing one first;
    None when no line there is a file name.
    """
    names = list(filter(None, _candidates(lines, at, file_exists)))
    return next(chain(filter(file_exists, names), names), None)


def files_mentioned(lines: Sequence[bytes], at: int, file_exists: FileExists) -> set[str]:
    """Return the existing files that occur in the nearest line of text above
    the marker.
    """
    text = next(filterfalse(_FENCE.fullmatch, _lines_above(lines, at)), "")
    names = [_without_dot_slash(word.rstrip(".")) for word in _WORDS.findall(text)]
    return set(filter(file_exists, filter(_LIKE_A_PATH.fullmatch, names)))


def _candidates(lines: Sequence[bytes], at: int, file_exists: FileExists) -> Iterator[str | None]:
    """File names in the fences above the marker and in the first line of text
    above these. Markers of another block are such text, and no names.
    """
    for line in _lines_above(lines, at):
        fence = _FENCE.fullmatch(line)
        if fence is None:
            yield _name_in_text(line, file_exists)
            return
        yield _name_in_fence(fence["last_word"] or "")


def _lines_above(lines: Sequence[bytes], at: int) -> Iterator[str]:
    """The lines above that are not blank, nearest first."""
    for row in range(at - 1, -1, -1):
        line = lines[row][:_MOST_CHARACTERS].decode("utf-8", "replace").strip()
        if line:
            yield line


def _name_in_fence(last_word: str) -> str | None:
    """The name at the end of a fence, as in ```python src/app.py."""
    word = _ATTRIBUTE.sub("", last_word).strip("{}`\"'")
    if language := _LANGUAGE.match(word):
        word = word[language.end() :]
    if _LIKE_A_PATH.fullmatch(word):
        return _without_dot_slash(word)
    return None


def _name_in_text(line: str, file_exists: FileExists) -> str | None:
    if tagged := _TAGGED.fullmatch(line):
        return _without_dot_slash(tagged["name"].strip())
    return _decorated_name(line, file_exists) or _introduced_name(line, file_exists)


def _decorated_name(line: str, file_exists: FileExists) -> str | None:
    text, quoted = _undecorated(line)
    name = _without_dot_slash(text)
    if file_exists(name) or _is_name(text, quoted):
        return name
    return None


def _introduced_name(line: str, file_exists: FileExists) -> str | None:
    """The name in "Then in `src/app.py`:", which is that of the next block; any
    other sentence only mentions files.
    """
    introduced = _INTRODUCED.search(line)
    if introduced is None:
        return None
    name = _without_dot_slash(introduced[1])
    if file_exists(name):
        return name
    return None


def _is_name(text: str, quoted: bool) -> bool:
    """Whether a line is a file name although no such file exists."""
    if quoted:
        return text != ""
    return _LIKE_A_NAME.fullmatch(text) is not None


def _undecorated(line: str) -> tuple[str, bool]:
    """The line without headings, bullets, labels and quotes, and whether the
    rest was quoted in backticks.
    """
    quoted = False
    while True:
        shorter = _BEFORE.sub("", line, count=1)
        shorter = _LABEL.sub("", shorter, count=1)
        shorter = _AFTER.sub("", shorter).strip()
        shorter, has_backticks = _unquoted(shorter)
        quoted |= has_backticks
        if shorter == line:
            break
        line = shorter
    # A backtick left inside shows a sentence, not a name.
    if "`" in line:
        return "", False
    return line, quoted


def _unquoted(text: str) -> tuple[str, bool]:
    """The text without quotes around it, and whether some were backticks."""
    has_backticks = False
    for quote in _QUOTES:
        if _is_quoted(text, quote):
            text = text[len(quote) : -len(quote)].strip()
            has_backticks |= quote == "`"
    return text, has_backticks


def _is_quoted(text: str, quote: str) -> bool:
    is_longer = len(text) > 2 * len(quote)
    return is_longer and text.startswith(quote) and text.endswith(quote)


def _without_dot_slash(name: str) -> str:
    return name.removeprefix("./")
