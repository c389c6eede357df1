"""Counts the tests that a check ran, from the closing lines of test runners.

A runner that finds no test may exit with 0, so that its exit code alone would
pass for a check.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_KEPT_CHECKS = 100

# For each family of runners the lines that announce tests, with their number as
# the first group; a match without a number counts as none.
_FAMILIES: tuple[tuple[str, ...], ...] = (
    # pytest: "== 3 passed, 1 failed in 0.12s ==", "no tests ran in 0.01s"
    (r"^(?:=+ )?(?:.*?, )?(\d+) passed\b.* in [\d.]+s", r"^(?:=+ )?no tests ran in "),
    # unittest: "Ran 3 tests in 0.001s"
    (r"^Ran (\d+) tests? in [\d.]+s",),
    # node --test, tape and other TAP producers: "# tests 5", "ℹ tests 5"
    (r"^(?:#|ℹ) tests +(\d+)$",),
    # mocha: "  5 passing (10ms)"
    (r"^ *(\d+) passing\b",),
    # jest, vitest: "Tests:  2 skipped, 5 passed, 7 total", "Tests  5 passed (5)"
    (r"^ *Tests:? .*?(\d+) passed", r"^No tests? (?:found|files found)\b"),
    # go test -v: "--- PASS: TestName (0.00s)"; without -v: "ok  package  0.01s"
    (r"^ok  ?\t\S+\t(?!.*\[no tests to run\])()", r"^(?:ok|\?) .*\[no tests? (?:to run|files)\]"),
    # cargo test: "test result: ok. 5 passed; 0 failed; ..."
    (r"^test result: ok\. (\d+) passed",),
    # ctest: "100% tests passed, 0 tests failed out of 5"
    (r"% tests passed, .* out of (\d+)$", r"^No tests were found!!!"),
)
_PATTERNS = tuple(tuple(re.compile(line, re.MULTILINE) for line in family) for family in _FAMILIES)


def count_tests(output: bytes) -> int | None:
    """How many tests passed according to the output; None when it has no
    closing line of a known runner.
    """
    # Colours split the words that are searched for.
    text = _ANSI.sub("", output.decode(errors="replace")).replace("\r\n", "\n")
    counts = []
    for family in _PATTERNS:
        matches = [match for pattern in family for match in pattern.finditer(text)]
        if matches:
            counts.append(sum(_number(match) for match in matches))
    if not counts:
        return None
    # A program may wrap another: both count the same tests.
    return max(counts)


def _number(match: re.Match[str]) -> int:
    groups = match.groups()
    if not groups:
        return 0
    # An empty group stands for one package of tests.
    return int(groups[0] or 1)


@dataclass(frozen=True)
class KnownCounts:
    """The number of tests that each check of a branch last ran, in a file."""

    file: Path

    def get(self, check: str, default: int) -> int:
        return self._read().get(check, default)

    def put(self, check: str, tests: int) -> None:
        counts = self._read()
        if counts.get(check) == tests:
            return
        counts[check] = tests
        newest = dict(list(counts.items())[-_KEPT_CHECKS:])
        self.file.parent.mkdir(parents=True, exist_ok=True)
        part = self.file.with_suffix(".part")
        part.write_text(json.dumps(newest))
        part.replace(self.file)

    def _read(self) -> dict[str, int]:
        with suppress(OSError, ValueError):
            counts = json.loads(self.file.read_text())
            if isinstance(counts, dict):
                return counts
        return {}
