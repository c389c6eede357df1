from __future__ import annotations

from pathlib import Path

import pytest

from gpt_cursor_runner.landing.counting import KnownCounts, count_tests

CARGO = "test result: ok. {} passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n"


@pytest.mark.parametrize(
    ("output", "tests"),
    [
        ("", None),
        ("All checks passed!\n", None),
        ("I passed 3 shops in 20s\n", None),
        ("== 3 passed in 0.12s ==\n", 3),
        ("3 passed in 0.12s\n", 3),
        ("\x1b[32m=== \x1b[1m3 passed\x1b[0m, 1 warning in 0.12s ===\n", 3),
        ("=== 1 skipped, 3 passed in 61.12s (0:01:01) ===\n", 3),
        ("550 passed, 69 skipped in 1.1s\n", 550),
        ("=== no tests ran in 0.01s ===\n", 0),
        ("Ran 3 tests in 0.001s\n\nOK\n", 3),
        ("Ran 0 tests in 0.000s\n\nOK\n", 0),
        ("Ran 1 test in 0.000s\r\n\r\nOK\r\n", 1),
        ("1..5\n# tests 5\n# pass  5\n# ok\n", 5),
        ("1..0\n# tests 0\n# pass  0\n# ok\n", 0),
        ("ℹ tests 2\nℹ suites 0\nℹ pass 2\n", 2),
        ("\n  1249 passing (3s)\n  2 pending\n", 1249),
        ("\n  0 passing (1ms)\n", 0),
        ("Tests:       2 skipped, 5 passed, 7 total\n", 5),
        ("      Tests  5 passed (5)\n", 5),
        ("No tests found, exiting with code 0\n", 0),
        ("ok  \texample.org/app\t0.004s\nok  \texample.org/app/x\t(cached)\n", 2),
        ("?   \texample.org/app\t[no test files]\n", 0),
        ("ok  \texample.org/app\t0.004s [no tests to run]\n", 0),
        (CARGO.format(5) + CARGO.format(0) + CARGO.format(2), 7),
        (CARGO.format(0), 0),
        ("100% tests passed, 0 tests failed out of 5\n", 5),
        ("No tests were found!!!\n", 0),
    ],
)
def test_the_closing_lines_of_runners_are_counted(output: str, tests: int | None) -> None:
    assert count_tests(output.encode()) == tests


def test_a_runner_inside_another_is_counted_once() -> None:
    assert count_tests(b"3 passed in 0.1s\n100% tests passed, 0 tests failed out of 1\n") == 3


def test_known_counts_are_kept_and_a_broken_file_is_none(tmp_path: Path) -> None:
    counts = KnownCounts(tmp_path / "trees" / "app.json")
    assert counts.get("tests", -1) == -1
    counts.put("tests", 5)
    counts.put("lint", 0)
    assert (KnownCounts(counts.file).get("tests", -1), counts.get("lint", -1)) == (5, 0)
    counts.file.write_text("[")
    assert counts.get("tests", -1) == -1
