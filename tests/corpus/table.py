"""What the corpus says, as a table: by source, by format, by group, then every
case that is not right, and the aims.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from tests.corpus.cases import Case
from tests.corpus.judging import ProbeResult

_GROUPS = ("core", "lenient", "options", "policy")


def show(judged: Sequence[ProbeResult]) -> str:
    """The whole report."""
    lines = [*_table("source", judged, lambda case: case.source), ""]
    lines += [*_table("format", judged, lambda case: case.format), ""]
    lines += [
        *_not_right(judged),
        *(f"{'met ' if met else 'MISS'}  {aim}" for aim, met in aims(judged)),
    ]
    return "\n".join(lines)


def aims(judged: Sequence[ProbeResult]) -> list[tuple[str, bool]]:
    """Each aim with its figures, and whether it is met."""
    core, lenient, options = (_share(judged, group) for group in ("core", "lenient", "options"))
    wrong, touched, crashed = (
        _count(judged, verdict) for verdict in ("WRONG TREE", "TOUCHED", "CRASHED")
    )
    escapes = [one for one in judged if one.case.escapes]
    refused = _count(escapes, "right")
    named = [one for case in judged for one in case.named]
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
    scored = [one for one in judged if one.case.group == group and one.verdict != "not offered"]
    return _count(scored, "right"), len(scored)


def _count(judged: Iterable[ProbeResult], verdict: str) -> int:
    return sum(1 for one in judged if one.verdict == verdict)


def _table(title: str, judged: Sequence[ProbeResult], key: Callable[[Case], str]) -> Iterator[str]:
    yield f"{title:28}" + "".join(f"{group:>12}" for group in _GROUPS) + "   (right / scored)"
    for name in sorted({key(one.case) for one in judged}):
        yield _row(name, [one for one in judged if key(one.case) == name])
    yield _row("all", judged)


def _row(name: str, judged: Sequence[ProbeResult]) -> str:
    shares = (_share(judged, group) for group in _GROUPS)
    return f"{name:28}" + "".join(
        f"{f'{right}/{scored}' if scored else '-':>12}" for right, scored in shares
    )


def _not_right(judged: Sequence[ProbeResult]) -> Iterator[str]:
    for one in sorted(
        judged, key=lambda one: (_GROUPS.index(one.case.group), one.verdict, one.case.name)
    ):
        if not all(one.named):
            yield f"{one.case.group:8} {'no difference':16} {one.case.name}"
        if one.verdict != "right":
            yield f"{one.case.group:8} {one.verdict:16} {one.case.name}  {one.why[:160]}"
    yield ""
