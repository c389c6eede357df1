"""The cases: a file, a change to it, and the limits of their cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha1
from typing import Any

PATH = "src/big.py"
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Load:
    """One file and one change. `base` is the version a three-way merge starts
    from.
    """

    data: bytes
    change: dict[str, Any]
    tolerance: str = "standard"
    base: bytes | None = None


@dataclass(frozen=True)
class Case:
    """`wanted` is the expected end: planned, or refused with a code. `seconds`
    is the aim.
    """

    name: str
    build: Callable[[], Load]
    wanted: str = "planned"
    seconds: float = 0.2


@dataclass(frozen=True)
class Spoil:
    """Changes the lines of a hunk before they are sent."""

    context: Callable[[int, str], str] = lambda number, line: line
    deleted: Callable[[int, str], str] = lambda number, line: line
    heading: str = ""
    hints: bool = True


def code(size: int) -> list[str]:
    """About `size` bytes of lines as in programs: mostly different, one in ten
    blank, one in ten common.
    """
    lines, written, number = list[str](), 0, 0
    while written < size:
        number += 1
        common = {0: "\n", 5: "        return None\n"}
        line = (
            common.get(number % 10)
            or f"    value_{number} = compute_{number % 97}(argument_{number % 13}, {number})\n"
        )
        lines.append(line)
        written += len(line)
    return lines


def diff(lines: Sequence[str], count: int, spoil: Spoil | None = None) -> str:
    """A diff of evenly spaced hunks: three lines of context, two deleted, two
    inserted, three of context.
    """
    spoil = spoil or Spoil()
    step = len(lines) // count
    parts = [f"{spoil.heading}--- a/{PATH}\n+++ b/{PATH}\n"]
    for start in range(1, step * count, step):
        old = lines[start : start + 8]
        above = [" " + spoil.context(start + at, line) for at, line in enumerate(old[:3])]
        gone = ["-" + spoil.deleted(start + at, line) for at, line in enumerate(old[3:5], 3)]
        below = [" " + spoil.context(start + at, line) for at, line in enumerate(old[5:], 5)]
        came = [f"+    first_{start} = 1\n", f"+    second_{start} = 2\n"]
        head = f"@@ -{start + 1},8 +{start + 1},8 @@\n" if spoil.hints else "@@\n"
        parts += [head, *above, *gone, *came, *below]
    return "".join(parts)


def blocks(lines: Sequence[str], count: int) -> str:
    """The same change as search/replace blocks."""
    step, parts = len(lines) // count, list[str]()
    for start in range(1, step * count, step):
        old = "".join(lines[start : start + 5])
        new = "".join(lines[start : start + 3]) + f"    first_{start} = 1\n"
        parts.append(f"{PATH}\n<<<<<<< SEARCH\n{old}=======\n{new}>>>>>>> REPLACE\n\n")
    return "".join(parts)


def envelope(lines: Sequence[str], count: int) -> str:
    """The same change as an apply_patch envelope."""
    body = diff(lines, count, Spoil(hints=False)).split("\n", 2)[2]
    return f"*** Begin Patch\n*** Update File: {PATH}\n{body}*** End Patch\n"


def _diff_load(
    size: int,
    count: int,
    spoil: Spoil | None = None,
    tolerance: str = "standard",
    file: Callable[[str], str] = lambda text: text,
) -> Callable[[], Load]:
    def build() -> Load:
        lines = code(size)
        return Load(file("".join(lines)).encode(), _unified(diff(lines, count, spoil)), tolerance)

    return build


def _unified(text: str) -> dict[str, Any]:
    return {"type": "unified_diff", "text": text}


def _typo(number: int, line: str) -> str:
    """One context line of each hunk differs a little."""
    return line.replace("compute", "computed") if number % 10 in (2, 3) else line


def _foreign(number: int, line: str) -> str:
    return f"def nothing_like_it_{number * 7919 % 100_003}(): raise Unheard\n"


def _ellipses() -> Load:
    """The same change with the middle line of each context left out; every line
    of the file is unique.
    """
    lines = [
        line if "value" in line else f"    only_{number} = 0\n"
        for number, line in enumerate(code(MEGABYTE))
    ]
    head, *hunks = diff(lines, 50, Spoil(hints=False)).split("@@\n")
    text = "@@\n".join(
        [head, *(_without_middles(hunk.splitlines(keepends=True)) for hunk in hunks)]
    )
    return Load("".join(lines).encode(), _unified(text))


def _without_middles(hunk: Sequence[str]) -> str:
    return "".join([hunk[0], " ...\n", *hunk[2:8], " ...\n", hunk[9]])


def _twice(text: str) -> str:
    return text + text


def _three_way() -> Load:
    lines, count = code(MEGABYTE), 5
    base = "".join(lines).encode()
    outermost = {
        start + at for start in range(1, len(lines), len(lines) // count) for at in (0, 1, 7)
    }
    moved = ["# all new\n" if number in outermost else line for number, line in enumerate(lines)]
    blob = sha1(b"blob %d\0" % len(base) + base, usedforsecurity=False).hexdigest()
    heading = f"diff --git a/{PATH} b/{PATH}\nindex {blob[:10]}..0000000 100644\n"
    text = diff(lines, count, Spoil(heading=heading))
    return Load("".join(moved).encode(), _unified(text), "merge", base)


def _many_hunks(count: int, is_found: bool) -> Callable[[], Load]:
    def build() -> Load:
        lines = [f"line {number}\n" for number in range(2 * count)]
        word = "line" if is_found else "lime"
        body = "".join(
            f"@@ -{n + 1} +{n + 1} @@\n-{word} {n}\n+row {n}\n" for n in range(0, 2 * count, 2)
        )
        return Load("".join(lines).encode(), _unified(f"--- a/{PATH}\n+++ b/{PATH}\n{body}"))

    return build


def _equal_lines(
    line: str, count: int, tolerance: str = "standard", deep: int = 3
) -> Callable[[], Load]:
    def build() -> Load:
        block = f" {line}" * deep
        text = f"--- a/{PATH}\n+++ b/{PATH}\n@@\n{block}-{line}+other\n{block}"
        return Load((line * count).encode(), _unified(text), tolerance)

    return build


def _nearly_alike(count: int, fuzz: int) -> Callable[[], Load]:
    """Hunks that resemble the file everywhere and fit nowhere: each could be
    aligned with thousands of places.
    """

    def build() -> Load:
        hunk = "@@\n l0\n l1\n lX\n l3\n-l4\n+y\n l5\n lZ\n l7\n l8\n"
        text = f"--- a/{PATH}\n+++ b/{PATH}\n{hunk * count}"
        file = "".join(f"l{number % 9}\n" for number in range(MEGABYTE // 3))
        return Load(file.encode(), {**_unified(text), "fuzz": fuzz}, "merge")

    return build


def _equal_but_last(tolerance: str) -> Callable[[], Load]:
    """A hunk of a thousand equal lines that fits nowhere because of its last
    one: quadratic for a simple matcher.
    """

    def build() -> Load:
        text = (
            f"--- a/{PATH}\n+++ b/{PATH}\n@@\n"
            + "     same = 1\n" * 1000
            + "-    never = 1\n+    other\n"
        )
        return Load(b"    same = 1\n" * 80_000, _unified(text), tolerance)

    return build


def _one_line(
    old: str, tolerance: str = "standard", kind: str = "unified_diff"
) -> Callable[[], Load]:
    def build() -> Load:
        line = "".join(f"{number:06x}," for number in range(9 * MEGABYTE // 7))
        if kind == "str_replace":
            change = {"type": kind, "path": PATH, "old": old, "new": "changed"}
        else:
            change = _unified(f"--- a/{PATH}\n+++ b/{PATH}\n@@\n-{old}\n+changed\n")
        return Load(line.encode(), change, tolerance)

    return build


def _near_line() -> Load:
    line = "".join(f"{number:06x}," for number in range(MEGABYTE // 7))
    text = f"--- a/{PATH}\n+++ b/{PATH}\n@@\n head\n-{line}\n+changed\n tail\n"
    return Load(f"head\n{line[:-9]}\ntail\n".encode(), _unified(text), "merge")


def _text_load(kind: str, text: Callable[[Sequence[str], int], str]) -> Callable[[], Load]:
    def build() -> Load:
        lines = code(MEGABYTE)
        return Load("".join(lines).encode(), {"type": kind, "text": text(lines, 50)})

    return build


def _regex() -> Load:
    change = {"type": "regex", "path": PATH, "pattern": "(a+)+$", "replacement": "b"}
    return Load(b"a" * MEGABYTE + b"!\n", change)


_RUNGS = (
    Case("exact", _diff_load(MEGABYTE, 50)),
    Case("exact, no line numbers", _diff_load(MEGABYTE, 50, Spoil(hints=False))),
    Case("CRLF file", _diff_load(MEGABYTE, 50, file=lambda text: text.replace("\n", "\r\n"))),
    Case(
        "trailing blanks in file",
        _diff_load(MEGABYTE, 50, file=lambda text: text.replace(")\n", ")  \n")),
    ),
    Case(
        "unicode look-alikes",
        _diff_load(MEGABYTE, 50, Spoil(lambda _, line: line.replace(" = ", "\xa0= "))),
    ),
    Case(
        "outdented patch",
        _diff_load(
            MEGABYTE, 50, Spoil(lambda _, line: line[4:] or line, lambda _, line: line[4:] or line)
        ),
    ),
    Case("ellipses in the context", _ellipses),
    Case("fuzzy context (merge)", _diff_load(MEGABYTE, 50, Spoil(_typo), "merge")),
    Case("three-way, 5 hunks (merge)", _three_way),
    Case("search/replace", _text_load("search_replace", blocks)),
    Case("apply_patch", _text_load("apply_patch", envelope)),
    Case("matches nowhere", _diff_load(MEGABYTE, 50, Spoil(_foreign, _foreign)), "no_match"),
    Case(
        "matches nowhere (merge)",
        _diff_load(MEGABYTE, 50, Spoil(_foreign, _foreign), "merge"),
        "no_match",
    ),
    Case(
        "stale deleted lines",
        _diff_load(MEGABYTE, 50, Spoil(deleted=lambda n, line: "# " + line)),
        "no_match",
    ),
    Case(
        "stale deleted lines (merge)",
        _diff_load(MEGABYTE, 50, Spoil(deleted=lambda n, line: "# " + line), "merge"),
        "no_match",
    ),
    Case(
        "two equal places each",
        _diff_load(MEGABYTE // 2, 50, Spoil(hints=False), file=_twice),
        "ambiguous",
    ),
)
_LARGE = (
    Case("10 MB: exact, 50 hunks", _diff_load(10 * MEGABYTE, 50), seconds=2),
    Case(
        "10 MB: fuzzy, 1 hunk (merge)",
        _diff_load(10 * MEGABYTE, 1, Spoil(_typo), "merge"),
        seconds=2,
    ),
    Case(
        "10 MB: fuzzy, 50 hunks (merge)",
        _diff_load(10 * MEGABYTE, 50, Spoil(_typo), "merge"),
        seconds=2,
    ),
    Case(
        "10 MB: nowhere, 5 hunks (merge)",
        _diff_load(10 * MEGABYTE, 5, Spoil(_foreign, _foreign), "merge"),
        "no_match",
        2,
    ),
)
_HOSTILE = (
    Case("10,000 hunks, all fit", _many_hunks(10_000, True), seconds=2),
    Case("10,000 hunks, none fits", _many_hunks(10_000, False), "no_match", 2),
    Case("100,000 hunks", _many_hunks(100_000, True), "limit", 10),
    Case("1,000 hunks nearly alike (merge)", _nearly_alike(1000, 0), "limit", 4),
    Case("1,000 hunks with fuzz (merge)", _nearly_alike(1000, 2), "no_match", 4),
    Case("a million blank lines", _equal_lines("\n", MEGABYTE), "ambiguous", 2),
    Case("a million equal lines", _equal_lines("x = 1\n", MEGABYTE), "ambiguous", 2),
    Case(
        "a million equal lines (merge)", _equal_lines("x = 1\n", MEGABYTE, "merge"), "ambiguous", 2
    ),
    Case(
        "1000 of 80,000 equal lines",
        _equal_lines("    same = 1\n", 80_000, deep=1000),
        "ambiguous",
        2,
    ),
    Case("1000 equal lines and one that is not", _equal_but_last("standard"), "no_match", 2),
    Case("1000 equal lines and one not (merge)", _equal_but_last("merge"), "no_match", 2),
    Case("one line of 9 MB, str_replace", _one_line("0a0b0c,", kind="str_replace"), seconds=2),
    Case("one line of 9 MB, no match", _one_line("0a0b0c, and more"), "no_match", 2),
    Case(
        "one line of 9 MB, no match (merge)", _one_line("0a0b0c, and more", "merge"), "no_match", 2
    ),
    Case("a line of 1 MB that nearly fits", _near_line, "no_match", 2),
    Case("catastrophic regex", _regex, "limit", 1),
)
CASES: tuple[Case, ...] = (*_RUNGS, *_LARGE, *_HOSTILE)
