"""The judge of the corpus can give each verdict, and its sandbox detects a
change.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.corpus.cases import Case, Files
from tests.corpus.judging import Outcome, judge
from tests.corpus.running import judged_in_git, judged_in_memory

BEFORE = Files({"a.py": b"one\ntwo\n", "tool": b"#!\n"}, frozenset({"tool"}), {"link": "../../out"})
AFTER = Files({**BEFORE.contents, "a.py": b"one\n2\n"}, BEFORE.executable, BEFORE.links)
SENT = b"--- a/a.py\n+++ b/a.py\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n"
CASE = Case("case", "unified_diff", "core", "somebody", SENT, {}, BEFORE, (AFTER,), must_fail=False)
REFUSED = Outcome(why=("no_match",))


@pytest.mark.parametrize(
    ("case", "outcome", "verdict"),
    [
        (CASE, Outcome(AFTER), "right"),
        (CASE, Outcome(BEFORE), "WRONG TREE"),
        (CASE, Outcome(replace(AFTER, executable=frozenset())), "WRONG TREE"),
        (CASE, Outcome(replace(AFTER, links={"link": "a.py"})), "WRONG TREE"),
        (CASE, REFUSED, "lost"),
        (CASE, Outcome(AFTER, strays=("/out",)), "TOUCHED"),
        (CASE, Outcome(crash="KeyError"), "CRASHED"),
        (replace(CASE, must_fail=True), REFUSED, "right"),
        (replace(CASE, must_fail=True), Outcome(BEFORE), "wrongly accepted"),
        (replace(CASE, must_fail=True, escapes=True), Outcome(BEFORE), "ESCAPED"),
        (replace(CASE, must_fail=True), replace(REFUSED, strays=("/one",)), "TOUCHED"),
        (replace(CASE, group="policy"), REFUSED, "right"),
        (replace(CASE, group="policy"), Outcome(BEFORE), "WRONG TREE"),
        (replace(CASE, changes_nothing=True), Outcome(why=("no_op",)), "right"),
        (replace(CASE, changes_nothing=True), REFUSED, "lost"),
    ],
)
def test_each_verdict_is_given(case: Case, outcome: Outcome, verdict: str):
    assert judge(case, outcome).verdict == verdict


@pytest.mark.parametrize(
    ("case", "verdict"),
    [
        (CASE, "right"),
        (replace(CASE, after=(BEFORE,)), "WRONG TREE"),
        (replace(CASE, sent=SENT.replace(b"two", b"three")), "lost"),
        (
            replace(CASE, sent=SENT.replace(b"a.py", b"../a.py"), must_fail=True, escapes=True),
            "right",
        ),
        (replace(CASE, sent=b"\xff" + SENT), "lost"),
        (replace(CASE, options={"whitespace": "fix"}), "not offered"),
    ],
)
def test_memory_and_repository_give_the_same_verdict(case: Case, verdict: str, tmp_path: Path):
    assert judged_in_memory(case).verdict == judged_in_git(case, tmp_path).verdict == verdict


def test_a_change_outside_the_sealed_commit_is_detected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(
        "tests.corpus.running.body_of",
        lambda case: (tmp_path / "stray").write_bytes(case.sent) and {},
    )
    assert judged_in_git(CASE, tmp_path).why == "/stray"
