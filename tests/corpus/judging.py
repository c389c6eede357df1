"""Compares the outcome of a case with the expectation of its authors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tests.corpus.cases import Case, Files

Verdict = Literal[
    "right",
    "not offered",
    "lost",
    "wrongly accepted",
    "WRONG TREE",
    "TOUCHED",
    "ESCAPED",
    "CRASHED",
]


@dataclass(frozen=True)
class Outcome:
    """`tree` is None when the patch was refused; `why` holds the codes of its
    faults. `strays` are changed paths that the patch may not touch: all paths
    after a refusal, otherwise those outside its commit. `named` holds, for each
    fault `no_match` that searched lines, whether it names the first difference.
    """

    tree: Files | None = None
    why: tuple[str, ...] = ()
    strays: tuple[str, ...] = ()
    crash: str | None = None
    named: tuple[bool, ...] = ()


@dataclass(frozen=True)
class ProbeResult:
    case: Case
    verdict: Verdict
    why: str = ""
    named: tuple[bool, ...] = ()


def judge(case: Case, outcome: Outcome) -> ProbeResult:
    """The worst verdict that applies."""
    why = outcome.crash or ", ".join(outcome.strays or outcome.why)
    return ProbeResult(case, _verdict(case, outcome), why, outcome.named)


def _verdict(case: Case, outcome: Outcome) -> Verdict:
    if outcome.crash:
        return "CRASHED"
    if outcome.tree is not None and case.escapes:
        return "ESCAPED"
    if outcome.strays:
        return "TOUCHED"
    if outcome.tree is None:
        return _verdict_of_refusal(case, outcome)
    if case.must_fail:
        return "wrongly accepted"
    if outcome.tree in case.after:
        return "right"
    return "WRONG TREE"


def _verdict_of_refusal(case: Case, outcome: Outcome) -> Verdict:
    no_change_reported = set(outcome.why) <= {"no_op", "already_applied"}
    if case.changes_nothing and no_change_reported:
        return "right"
    if case.must_fail or case.group == "policy":
        return "right"
    return "lost"
