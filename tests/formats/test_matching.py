"""Properties of matching: against git itself, and against difflib."""

import difflib
import random
import subprocess
import time
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpt_cursor_runner.patch.faults import PatchRefused
from tests.formats.builders import closest, codes, diff, hunks, outcome, refusal

# Few different lines, so that blocks repeat and ambiguity is met often.
LINES = st.lists(st.sampled_from(["a\n", "b\n", "c\n", "\n", "-- d\n", "++ e\n"]), max_size=14)
TEXT = st.builds(
    lambda lines, cut: "".join(lines)[: -1 if cut and lines else None], LINES, st.booleans()
)
MILD = {"no_match", "ambiguous", "already_applied"}


def git_diff(old: str, new: str, folder: Path, context: int) -> str:
    (folder / "a").mkdir(exist_ok=True)
    (folder / "b").mkdir(exist_ok=True)
    (folder / "a/f").write_bytes(old.encode())
    (folder / "b/f").write_bytes(new.encode())
    command = ["git", "diff", "--no-index", "--no-prefix", f"-U{context}", "a/f", "b/f"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True).stdout


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(old=TEXT, new=TEXT)
def test_what_git_says_of_two_texts_turns_the_first_into_the_second(tmp_path, old, new):
    text = git_diff(old, new, tmp_path, 20)
    if text:
        assert outcome({"f": old.encode()}, diff(text, path="f")) == {"f": new.encode()}


@settings(max_examples=300, deadline=None)
@given(old=LINES, new=LINES, context=st.integers(0, 3))
def test_a_diff_lands_exactly_or_is_refused_and_never_makes_a_third_text(old, new, context):
    text = "".join(difflib.unified_diff(old, new, "a/f", "b/f", n=context))
    if not text:
        return
    try:
        made = outcome({"f": "".join(old).encode()}, diff(text))
    except PatchRefused as refused:
        assert set(codes(refused)) <= MILD
    else:
        assert made == {"f": "".join(new).encode()}


@settings(max_examples=100, deadline=None)
@given(old=LINES, new=LINES, cut=st.integers(1, 400))
def test_a_diff_cut_anywhere_inside_its_last_hunk_never_makes_another_text(old, new, cut):
    text = "".join(difflib.unified_diff(old, new, "a/f", "b/f", n=20))
    if "@@" not in text or cut >= len(text):
        return
    lines = text.splitlines(keepends=True)
    kept = "".join(lines[: len(lines) - cut % len(lines)])
    try:
        made = outcome({"f": "".join(old).encode()}, diff(kept))
    except PatchRefused:
        return
    assert made == {"f": "".join(new).encode()}


def megabyte(seed: int = 1) -> list[str]:
    chance = random.Random(seed)
    words = ["".join(chance.choices("abcdefgh", k=6)) for _ in range(500)]
    return [" ".join(chance.choices(words, k=7)) + "\n" for _ in range(21_000)]


def fifty_hunks(lines: list[str], spoil: bool) -> dict[str, object]:
    bodies = []
    for start in range(100, 20_100, 400):
        block = lines[start : start + 7]
        last = block[6].swapcase() if spoil else block[6]
        bodies.append(
            f"@@ -{start + 30},7 +{start + 30},7 @@\n"
            + "".join(" " + line for line in block[:3])
            + f"-{block[3]}+new\n"
            + "".join(" " + line for line in block[4:6])
            + f" {last}"
        )
    return hunks(*bodies)


def test_fifty_hunks_on_a_megabyte_need_no_quadratic_search():
    lines = megabyte()
    files = {"a.py": "".join(lines).encode()}
    for spoil in (False, True):
        started = time.process_time()
        if spoil:
            faults = refusal(files, fifty_hunks(lines, spoil)).faults
            assert len(faults) == 50
            # An answer lists twenty faults; more are not explained.
            assert [closest(fault).line for fault in faults[:20]] == list(range(101, 8_101, 400))
        else:
            assert outcome(files, fifty_hunks(lines, spoil)) != files
        # CPU time, for a busy machine: it takes 0.1 to 0.2 s, a quadratic search
        # minutes. `make bench-planner` measures the time.
        assert time.process_time() - started < 5


def test_a_file_of_equal_lines_needs_no_quadratic_search():
    files = {"a.py": b"\n" * 300_000}
    started = time.process_time()
    assert set(codes(refusal(files, hunks(*["@@ -9,2 +9,3 @@\n \n+x\n \n"] * 20)))) == {"ambiguous"}
    assert time.process_time() - started < 20
