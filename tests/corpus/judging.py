"""What became of a case, held against what its authors say should."""

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
    """`tree` is None when the patch was refused; `why` are the codes of its
    faults. `strays` are paths changed that a patch may not touch: anything
    at all when it was refused, anything outside its commit when it was not.
    `named` tells of each fault `no_match` that looked for lines whether it
    names the first difference.
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
    """The verdict, worst first."""
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
        return _of_refusal(case, outcome)
    if case.must_fail:
        return "wrongly accepted"
    return "right" if outcome.tree in case.after else "WRONG TREE"


def _of_refusal(case: Case, outcome: Outcome) -> Verdict:
    told = case.changes_nothing and set(outcome.why) <= {"no_op", "already_applied"}
    return "right" if case.must_fail or case.group == "policy" or told else "lost"
