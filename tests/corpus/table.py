"""The results of the corpus as a table by source and format, then every case
that is not right, and the aims.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from tests.corpus.cases import Case
from tests.corpus.judging import ProbeResult, Verdict

_GROUPS = ("core", "lenient", "options", "policy")
_MARKS = {True: "met ", False: "MISS"}


def report(judged: Sequence[ProbeResult]) -> str:
    """The tables, the cases that are not right, and the aims."""
    lines = [*_table("source", judged, lambda case: case.source), ""]
    lines += [*_table("format", judged, lambda case: case.format), ""]
    lines += [
        *_not_right(judged),
        *(f"{_MARKS[met]}  {aim}" for aim, met in aims(judged)),
    ]
    return "\n".join(lines)


def aims(judged: Sequence[ProbeResult]) -> list[tuple[str, bool]]:
    """Each aim with its figures, and whether it is met."""
    core, lenient, options = (_share(judged, group) for group in ("core", "lenient", "options"))
    wrong, touched, crashed = (
        _count(judged, verdict) for verdict in ("WRONG TREE", "TOUCHED", "CRASHED")
    )
    escapes = [result for result in judged if result.case.escapes]
    refused = _count(escapes, "right")
    named: list[bool] = []
    for result in judged:
        named += result.named
    return [
        (f"core: {core[0]} of {core[1]} right (aim: all)", core[0] == core[1]),
        (f"wrong trees in any group: {wrong} (aim: 0)", not wrong),
        (f"something touched by a refused patch: {touched} (aim: 0)", not touched),
        (f"escapes refused: {refused} of {len(escapes)} (aim: all)", refused == len(escapes)),
        (f"exceptions that are no refusal: {crashed} (aim: 0)", not crashed),
        (
            f"lenient: {lenient[0]} of {lenient[1]} right (aim: 90 %)",
            lenient[0] >= 0.9 * lenient[1],
        ),
        (
            f"options that are offered: {options[0]} of {options[1]} right (aim: all)",
            options[0] == options[1],
        ),
        (
            f"first difference named: {sum(named)} of {len(named)} no_match (aim: 95 %)",
            sum(named) >= 0.95 * len(named),
        ),
    ]


def _share(judged: Iterable[ProbeResult], group: str) -> tuple[int, int]:
    of_group = [result for result in judged if result.case.group == group]
    scored = [result for result in of_group if result.verdict != "not offered"]
    return _count(scored, "right"), len(scored)


def _count(judged: Iterable[ProbeResult], verdict: Verdict) -> int:
    return [result.verdict for result in judged].count(verdict)


def _table(title: str, judged: Sequence[ProbeResult], key: Callable[[Case], str]) -> Iterator[str]:
    yield f"{title:28}" + "".join(f"{group:>12}" for group in _GROUPS) + "   (right / scored)"
    for name in sorted({key(result.case) for result in judged}):
        yield _row(name, [result for result in judged if key(result.case) == name])
    yield _row("all", judged)


def _row(name: str, judged: Sequence[ProbeResult]) -> str:
    row = f"{name:28}"
    for group in _GROUPS:
        right, scored = _share(judged, group)
        cell = f"{right}/{scored}"
        if not scored:
            cell = "-"
        row += f"{cell:>12}"
    return row


def _not_right(judged: Sequence[ProbeResult]) -> Iterator[str]:
    def by_group(result: ProbeResult) -> tuple[int, str, str]:
        return _GROUPS.index(result.case.group), result.verdict, result.case.name

    for result in sorted(judged, key=by_group):
        if not all(result.named):
            yield f"{result.case.group:8} {'no difference':16} {result.case.name}"
        if result.verdict != "right":
            yield f"{result.case.group:8} {result.verdict:16} {result.case.name}  {result.why[:160]}"
    yield ""
