"""A random edit of one file, and its forms in every format."""

from __future__ import annotations

import base64
import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

_WORDS = [
    "alpha",
    "beta",
    "gamma(x)",
    "return None",
    "if x:",
    "    y = 1",
    "\tz = 2",
    "}",
    "",
    "",
    "# naïve “quoted”",
]
_WORDS += [
    "<<<<<<< SEARCH",
    "=======",
    "--- a/x",
    "*** End Patch",
    "...",
    "@@ -1 +1 @@",
    "-minus",
    "+plus",
    "日本語",
]


@dataclass(frozen=True)
class Edit:
    path: str
    before: bytes
    after: bytes

    @classmethod
    def of(cls, random: Random, path: str, before: bytes) -> Edit:
        lines = before.decode().splitlines(keepends=True)
        for _ in range(random.randint(1, 4)):
            at = random.randint(0, len(lines))
            lines[at : at + random.choice([0, 0, 1, 2])] = [
                _line(random) for _ in range(random.choice([0, 1, 1, 3]))
            ]
        return cls(path, before, "".join(lines).encode())


def random_edit(random: Random, path: str) -> Edit:
    before = "".join(_line(random) for _ in range(random.choice([0, 1, 3, 10, 40, 200])))
    if random.random() < 0.2:
        before = before.removesuffix("\n")
    return Edit.of(random, path, before.encode())


def _line(random: Random) -> str:
    word = random.choice(_WORDS)
    return f"{word} {random.randint(0, 99)}\n" if random.random() < 0.7 else word + "\n"


def _unified(random: Random, edit: Edit) -> list[dict[str, Any]]:
    if not edit.before or not edit.after:
        return _whole(random, edit)
    old, new, context = _lines(edit.before), _lines(edit.after), random.choice([0, 1, 3, 3, 3])
    parts = []
    for line in difflib.unified_diff(old, new, f"a/{edit.path}", f"b/{edit.path}", n=context):
        parts.append(line if line.endswith("\n") else line + "\n\\ No newline at end of file\n")
    return [{"type": "unified_diff", "text": "".join(parts)}] if parts else []


def _blocks(random: Random, edit: Edit) -> list[dict[str, Any]]:
    marks = random.choice([7, 7, 7, 5, 9])
    head, middle, tail = "<" * marks + " SEARCH\n", "=" * marks + "\n", ">" * marks + " REPLACE\n"
    text = ""
    for old, new in _pieces(edit):
        text += f"{edit.path}\n```\n{head}{old}{middle}{new}{tail}```\n"
    return [{"type": "search_replace", "text": text}] if text else []


def _envelope(random: Random, edit: Edit) -> list[dict[str, Any]]:
    body = [f"*** Begin Patch\n*** Update File: {edit.path}\n"]
    for old, new in _pieces(edit):
        body += [
            "@@\n",
            *(f"-{line}" for line in _split(old)),
            *(f"+{line}" for line in _split(new)),
        ]
    return [{"type": "apply_patch", "text": "".join([*body, "*** End Patch\n"])}]


def _literal(random: Random, edit: Edit) -> list[dict[str, Any]]:
    return [
        {"type": "str_replace", "path": edit.path, "old": old, "new": new}
        for old, new in _pieces(edit)
        if old
    ] or _whole(random, edit)


def _inserted(random: Random, edit: Edit) -> list[dict[str, Any]]:
    at = random.randint(0, 20)
    text = edit.after.decode()[:200] or "\n"
    return [{"type": "insert", "path": edit.path, "after_line": at, "text": text}]


def _pattern(random: Random, edit: Edit) -> list[dict[str, Any]]:
    pattern = random.choice(
        [
            r"(a+)+$",
            r"^.*$",
            r"\w+ \d+",
            r"(?s).*",
            r"(x|xx)*y",
            "((((",
            r"\b",
            r"(?<=a)b*",
            "alpha",
        ]
    )
    flags = random.choice(["", "i", "ms", "x"])
    replacement = random.choice(["", r"\1", r"\g<0>!", "é", "\\"])
    return [
        {
            "type": "regex",
            "path": edit.path,
            "pattern": pattern,
            "replacement": replacement,
            "flags": flags,
        }
    ]


def _whole(random: Random, edit: Edit) -> list[dict[str, Any]]:
    if random.random() < 0.5:
        return [{"type": "upsert", "path": edit.path, "contents": edit.after.decode()}]
    return [
        {"type": "upsert", "path": edit.path, "contents_b64": base64.b64encode(edit.after).decode()}
    ]


def _moved(random: Random, edit: Edit) -> list[dict[str, Any]]:
    there = f"moved/{edit.path}"
    return [
        {"type": "move", "from": edit.path, "to": there},
        {"type": "chmod", "path": there, "mode": random.choice(["644", "755"])},
        {"type": "chmod", "path": there, "mode": "644"},
        *({**change, "path": there} for change in _whole(random, edit)),
        {"type": "move", "from": there, "to": edit.path},
    ]


def _tool_call(random: Random, edit: Edit) -> list[dict[str, Any]]:
    return [
        {"command": "str_replace", "path": edit.path, "old_str": old, "new_str": new}
        for old, new in _pieces(edit)
    ]


def _pieces(edit: Edit) -> list[tuple[str, str]]:
    """Old and new text of each place that changes, with up to three lines of
    context on both sides.
    """
    old, new = _lines(edit.before), _lines(edit.after)
    pieces = []
    for group in difflib.SequenceMatcher(a=old, b=new, autojunk=False).get_grouped_opcodes(3):
        pieces.append(
            ("".join(old[group[0][1] : group[-1][2]]), "".join(new[group[0][3] : group[-1][4]]))
        )
    return [(_ended(old), _ended(new)) for old, new in pieces]


def _ended(text: str) -> str:
    return text if not text or text.endswith("\n") else text + "\n"


def _lines(data: bytes) -> list[str]:
    return _split(data.decode())


def _split(text: str) -> list[str]:
    return text.splitlines(keepends=True)


Rendering = Callable[[Random, Edit], list[dict[str, Any]]]
SAYS_EVERYTHING = {"unified_diff", "upsert", "move"}
SAYS_LINES = {"apply_patch", "search_replace", "str_replace", "tool call"}
RENDERINGS: Mapping[str, Rendering] = {
    "apply_patch": _envelope,
    "insert": _inserted,
    "move": _moved,
    "regex": _pattern,
    "search_replace": _blocks,
    "str_replace": _literal,
    "tool call": _tool_call,
    "unified_diff": _unified,
    "upsert": _whole,
}
