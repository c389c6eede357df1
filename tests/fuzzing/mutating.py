"""Mutations of a patch: damage on its way, and changes on purpose."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

from gpt_cursor_runner.formats.tree import EntryKind
from tests.fuzzing.inputs import Input

_STRANGE = [
    "\x00",
    "\r",
    "\r\n",
    "\ufeff",
    "\u2028",
    "\x85",
    "\x0b",
    "\x0c",
    "\u00a0",
    "“",
    "–",
    "\u202e",
    "𝄞",
    "\ud800",
    "\x1b[2J",
]
_PATHS = [
    "../out",
    "/etc/out",
    ".git/config",
    ".GIT/hooks/x",
    "C:\\out",
    "a//b",
    "a/./b",
    "con",
    "a\x00b",
    "x" * 300,
    ".g\u200cit/x",
]
_PATHS += [
    "git~1/x",
    "link/x",
    "link",
    "sub/x",
    "dir.",
    "dir ",
    "é",
    "e\u0301",
    '"quoted"',
    "/dev/null",
    "",
    ".",
    "a/" * 200,
]
_NUMBERS = ["0", "-1", "1", "99999999999999999999999", "2147483648", "1e9", "٣"]
_VALUES: list[Any] = [
    None,
    0,
    -1,
    10**30,
    1.5,
    True,
    "",
    "x",
    [],
    {},
    [[]],
    {"type": "upsert"},
    "\ud800",
]


def mutated(random: Random, start: Input, other: Input) -> Input:
    """One to five mutations. The correct tree is then not determined."""
    made = replace(start, wanted=None, origin=f"{start.origin}, mutated")
    for _ in range(random.randint(1, 5)):
        made = random.choices([_of_text, _of_file, _of_path, _of_value, _joined], [12, 5, 2, 2, 1])[
            0
        ](random, made, other)
    return made


def _of_text(random: Random, start: Input, other: Input) -> Input:
    texts = [
        (number, name)
        for number, change in enumerate(start.changes)
        if isinstance(change, dict)
        for name in ("text", "old", "new", "old_str", "new_str", "diff", "contents", "pattern")
        if isinstance(change.get(name), str)
    ]
    if not texts:
        return start
    number, name = random.choice(texts)
    changes = list(start.changes)
    changes[number] = {**changes[number], name: random.choice(_TEXT)(random, changes[number][name])}
    return replace(start, changes=changes)


def _of_file(random: Random, start: Input, other: Input) -> Input:
    if not start.files:
        return start
    path = random.choice(sorted(start.files))
    return replace(
        start, files={**start.files, path: random.choice(_FILE)(random, start.files[path])}
    )


def _of_path(random: Random, start: Input, other: Input) -> Input:
    """Another name in place of a file's name in the patch; or a link or
    submodule in place of the file.
    """
    if not start.files:
        return start
    path, strange = random.choice(sorted(start.files)), random.choice(_PATHS)
    if random.random() < 0.3:
        kind: EntryKind = random.choice(["symlink", "submodule", "directory", "executable"])
        return replace(start, others={**start.others, path: kind})
    return replace(start, changes=[_renamed(change, path, strange) for change in start.changes])


def _renamed(value: Any, path: str, strange: str) -> Any:
    if isinstance(value, str):
        return value.replace(path, strange)
    if isinstance(value, dict):
        return {name: _renamed(part, path, strange) for name, part in value.items()}
    return value


def _of_value(random: Random, start: Input, other: Input) -> Input:
    changes = list(start.changes)
    if not changes:
        return start
    number = random.randrange(len(changes))
    if not isinstance(changes[number], dict) or random.random() < 0.1:
        changes[number] = random.choice(_VALUES)
    else:
        names = [
            *changes[number],
            "path",
            "strip",
            "reverse",
            "fuzz",
            "ignore_whitespace",
            "create",
            "line_hint",
            "occurrence",
            "replace_all",
        ]
        changes[number] = {**changes[number], random.choice(names): random.choice(_VALUES)}
        if random.random() < 0.3:
            changes[number].pop(random.choice(sorted(changes[number])))
    return replace(start, changes=changes)


def _joined(random: Random, start: Input, other: Input) -> Input:
    return replace(
        start, files={**start.files, **other.files}, changes=[*start.changes, *other.changes]
    )


def _cut(random: Random, text: str) -> str:
    at = random.randint(0, len(text))
    if random.random() < 0.8:
        return text[:at]
    return text[at:]


def _lines(change: Callable[[Random, list[str]], None]) -> Callable[[Random, str], str]:
    def on_lines(random: Random, text: str) -> str:
        lines = text.split("\n")
        change(random, lines)
        return "\n".join(lines)

    return on_lines


def _drop(random: Random, lines: list[str]) -> None:
    at = random.randrange(len(lines))
    del lines[at : at + random.choice([1, 1, 2, 5])]


def _repeat(random: Random, lines: list[str]) -> None:
    at = random.randrange(len(lines))
    lines[at:at] = lines[at : at + random.choice([1, 3, 10])] * random.choice([1, 1, 2, 200])


def _swap(random: Random, lines: list[str]) -> None:
    first, second = random.randrange(len(lines)), random.randrange(len(lines))
    lines[first], lines[second] = lines[second], lines[first]


def _sign(random: Random, lines: list[str]) -> None:
    at = random.randrange(len(lines))
    lines[at] = (
        random.choice(["+", "-", " ", "", "\\", "@@ ", "*** ", "\t", "> "])
        + lines[at][random.choice([0, 1]) :]
    )


def _blanks(random: Random, lines: list[str]) -> None:
    lines[:] = [line + random.choice(["", "", " ", "\t"]) for line in lines]


def _flip(random: Random, text: str) -> str:
    at = random.randint(0, len(text))
    return (
        text[:at]
        + random.choice([*_STRANGE, "x", " ", "-", "+"])
        + text[at + random.choice([0, 1]) :]
    )


def _unmarked(random: Random, text: str) -> str:
    marks = re.findall(r"(?m)^(?:[-+<>=*@`]{2,9}|diff|index|literal)", text)
    return text.replace(random.choice(marks), "", random.choice([1, -1])) if marks else text


def _numbered(random: Random, text: str) -> str:
    return re.sub(
        r"\d+", lambda match: random.choice([match[0], match[0], random.choice(_NUMBERS)]), text
    )


def _fenced(random: Random, text: str) -> str:
    fence = "`" * random.choice([3, 4, 3000])
    return f"Here it is:\n\n{fence}{random.choice(['diff', '', 'patch'])}\n{text}\n{fence}\n"


def _nested(random: Random, text: str) -> str:
    mark = random.choice(
        [
            "<<<<<<< SEARCH\n",
            "=======\n",
            "@@ class A\n",
            "*** Begin Patch\n",
            "```\n",
            "> ",
            "@@ -1 +1 @@\n",
        ]
    )
    return mark * random.choice([2, 50, 3000]) + text


def _long(random: Random, text: str) -> str:
    at = random.randint(0, len(text))
    return (
        text[:at]
        + random.choice(["x", " ", "-", "…", "'", "\\n"]) * random.choice([1000, 100_000])
        + text[at:]
    )


_TEXT: list[Callable[[Random, str], str]] = [
    *(_cut, _cut, _flip, _flip, _unmarked, _numbered, _fenced, _nested, _long),
    *map(_lines, (_drop, _drop, _repeat, _swap, _sign, _sign, _blanks)),
    lambda random, text: text.replace("\n", "\r\n"),
    lambda random, text: text.replace("\n", "\r"),
    lambda random, text: text.replace("\n", "\r\n", text.count("\n") // 2),
    lambda random, text: "\ufeff" + text,
    lambda random, text: text + text,
    lambda random, text: text.replace("    ", "\t"),
    lambda random, text: re.sub(r"(?m)^([-+ ]) +", r"\1", text),
    lambda random, text: text.replace("&", "&amp;").replace("<", "&lt;"),
    lambda random, text: text.rstrip("\n"),
    lambda random, text: re.sub(r"(?m)^@@.*$", "@@", text),
]
_FILE: list[Callable[[Random, bytes], bytes]] = [
    lambda random, data: data.replace(b"\n", b"\r\n"),
    lambda random, data: data.replace(b"\n", b"\r"),
    lambda random, data: data.replace(b"\n", b" \n"),
    lambda random, data: data + data,
    lambda random, data: b"\xef\xbb\xbf" + data,
    lambda random, data: data.rstrip(b"\n"),
    lambda random, data: data.replace(b"    ", b"\t"),
    lambda random, data: b"    " + data.replace(b"\n", b"\n    "),
    lambda random, data: (
        data[: random.randint(0, len(data))] + b"\xff\xfe" + data[len(data) // 2 :]
    ),
    lambda random, data: data[: random.randint(0, len(data))] + b"\x00" + data,
    lambda random, data: b"",
    lambda random, data: b"".join(
        random.sample(lines := data.splitlines(keepends=True), len(lines))
    ),
    lambda random, data: data * random.choice([10, 300]) if len(data) < 3000 else data,
    lambda random, data: b"\n" * random.choice([1, 100_000]),
]
