"""Large inputs: each is a trap for code that is quadratic, recursive or greedy."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from tests.fuzzing.inputs import Input

_FILE = b"".join(b"line %d\n" % number for number in range(60_000))


def large(random: Random) -> Input:
    """One of the traps, at a tenth to all of its full size."""
    trap = random.choice(_TRAPS)
    files, change = trap(max(10, int(random.choice([0.1, 0.3, 1]) * 100_000)))
    return Input(f"large {trap.__name__}", files, [change])


def _diff(text: str, **beside: Any) -> dict[str, Any]:
    return {"type": "unified_diff", "text": f"--- a/f\n+++ b/f\n{text}", **beside}


def many_hunks(count: int) -> tuple[dict[str, bytes], dict[str, Any]]:
    return {"f": _FILE}, _diff(
        "".join(f"@@ -{n} +{n} @@\n-line {n}\n+row {n}\n" for n in range(count))
    )


def many_hunks_in_nothing(count: int) -> tuple[dict[str, bytes], dict[str, Any]]:
    return {"f": b""}, _diff(
        "".join(f"@@ -{n} +{n} @@\n-gone {n}\n+row {n}\n" for n in range(count))
    )


def many_equal_hunks(count: int) -> tuple[dict[str, bytes], dict[str, Any]]:
    return {"f": b"same\n" * count}, _diff("@@\n same\n-same\n+other\n" * (count // 10))


def many_hunks_nearly_alike(count: int) -> tuple[dict[str, bytes], dict[str, Any]]:
    file = "".join(f"l{n % 9}\n" for n in range(count // 2))
    return {"f": file.encode()}, _diff(
        "@@\n l0\n l1\n lX\n l3\n-l4\n+y\n l5\n lZ\n l7\n l8\n" * (count // 20)
    )


def many_hunks_with_fuzz(count: int) -> tuple[dict[str, bytes], dict[str, Any]]:
    files, change = many_hunks_nearly_alike(count)
    return files, {**change, "fuzz": count % 7}


def many_files(count: int) -> tuple[dict[str, bytes], dict[str, Any]]:
    parts = (f"--- a/f{n}\n+++ b/f{n}\n@@ -1 +1 @@\n-x\n+y\n" for n in range(count // 10))
    return {"f1": b"x\n"}, {"type": "unified_diff", "text": "".join(parts)}


def one_file_again_and_again(count: int) -> tuple[dict[str, bytes], dict[str, Any]]:
    parts = (f"--- a/f\n+++ b/f\n@@ -1 +1 @@\n-{n}\n+{n + 1}\n" for n in range(count // 30))
    return {"f": b"0\n"}, {"type": "unified_diff", "text": "".join(parts)}


def many_blocks(count: int) -> tuple[dict[str, bytes], dict[str, Any]]:
    text = "".join(
        f"<<<<<<< SEARCH\nline {n}\n=======\nrow {n}\n>>>>>>> REPLACE\n" for n in range(count // 3)
    )
    return {"f": _FILE}, {"type": "search_replace", "text": text, "path": "f"}


def many_dividers(count: int) -> tuple[dict[str, bytes], dict[str, Any]]:
    return {"f": _FILE}, {
        "type": "search_replace",
        "text": "<<<<<<< SEARCH\n" + "=======\n" * count,
        "path": "f",
    }


def many_anchors(count: int) -> tuple[dict[str, bytes], dict[str, Any]]:
    anchors = "".join(f"@@ line {n}\n" for n in range(count // 10))
    return {"f": _FILE}, {
        "type": "apply_patch",
        "text": f"{anchors}-line 59999\n+last\n",
        "path": "f",
    }


def many_chunks(count: int) -> tuple[dict[str, bytes], dict[str, Any]]:
    body = "".join(f"@@\n-line {n}\n+row {n}\n" for n in range(count // 3))
    return {"f": _FILE}, {
        "type": "apply_patch",
        "text": f"*** Begin Patch\n*** Update File: f\n{body}*** End Patch\n",
    }


def equal_lines(count: int) -> tuple[dict[str, bytes], dict[str, Any]]:
    return {"f": b"x\n" * count}, _diff("@@\n" + " x\n" * (count // 100) + "-y\n+z\n")


def nearly_equal_lines(count: int) -> tuple[dict[str, bytes], dict[str, Any]]:
    file = b"".join(b"    value = compute(%d)\n" % (n % 7) for n in range(count // 3))
    return {"f": file}, _diff(
        "@@\n" + "     value = computed(3)\n" * 300 + "-    value = compute(4)\n+pass\n"
    )


def ellipses(count: int) -> tuple[dict[str, bytes], dict[str, Any]]:
    text = (
        "<<<<<<< SEARCH\n"
        + "x\n...\n" * (count // 100)
        + "=======\n"
        + "y\n...\n" * (count // 100)
        + ">>>>>>> REPLACE\n"
    )
    return {"f": b"x\n" * count}, {"type": "search_replace", "text": text, "path": "f"}


def blank_lines_between(count: int) -> tuple[dict[str, bytes], dict[str, Any]]:
    return {"f": b"x\n\n\n" * (count // 3)}, _diff("@@\n" + " x\n" * 500 + "-x\n+y\n")


def one_long_line(count: int) -> tuple[dict[str, bytes], dict[str, Any]]:
    return {"f": b"ab " * count * 3}, _diff("@@\n-" + "ab " * count * 3 + "c\n+short\n")


def deep_path(count: int) -> tuple[dict[str, bytes], dict[str, Any]]:
    return {"f": b""}, {"type": "upsert", "path": "d/" * count + "f", "contents": ""}


def quotes(count: int) -> tuple[dict[str, bytes], dict[str, Any]]:
    return {"f": b"x\n"}, {
        "type": "unified_diff",
        "text": 'diff --git "' + "\\" * count + "\n" + "a b/" * count,
    }


def binary_lines(count: int) -> tuple[dict[str, bytes], dict[str, Any]]:
    head = (
        "diff --git a/f b/f\nindex 1234567..89abcde 100644\nGIT binary patch\nliteral 99999999999\n"
    )
    return {"f": b"x"}, {
        "type": "unified_diff",
        "text": head + ("z" + "~" * 65 + "\n") * (count // 10) + "\n",
    }


def pattern(count: int) -> tuple[dict[str, bytes], dict[str, Any]]:
    return {"f": b"a" * count}, {
        "type": "regex",
        "path": "f",
        "pattern": "(a|a)*(a|aa)+$b",
        "replacement": "",
    }


def literal_everywhere(count: int) -> tuple[dict[str, bytes], dict[str, Any]]:
    change = {
        "type": "str_replace",
        "path": "f",
        "old": "a" * (count // 20),
        "new": "b",
        "replace_all": True,
    }
    return {"f": b"a" * count * 10}, change


def literal_nowhere(count: int) -> tuple[dict[str, bytes], dict[str, Any]]:
    return {"f": _FILE}, {
        "type": "str_replace",
        "path": "f",
        "old": "line 7\n" * (count // 20) + "!",
        "new": "b",
    }


_Trap = Callable[[int], tuple[dict[str, bytes], dict[str, Any]]]
_TRAPS: list[_Trap] = [
    *(
        many_hunks,
        many_hunks_in_nothing,
        many_equal_hunks,
        many_hunks_nearly_alike,
        many_hunks_with_fuzz,
    ),
    *(many_files, one_file_again_and_again, many_blocks),
    *(
        many_dividers,
        many_anchors,
        many_chunks,
        equal_lines,
        nearly_equal_lines,
        ellipses,
        blank_lines_between,
    ),
    *(one_long_line, deep_path, quotes, binary_lines, pattern, literal_everywhere, literal_nowhere),
]
