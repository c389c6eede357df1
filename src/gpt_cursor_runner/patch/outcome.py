"""Faults, and the exceptions that say whose fault something was.

A reader of this module sees every way an attempt can end; `runner/attempt.py`
maps each exception to one reaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

_MOST_CHARACTERS = 2_000  # of one text in a fault, excerpts aside


@dataclass(frozen=True)
class FirstDifference:
    """Where the text sent and the text in the file part ways (line numbers from
    1).
    """

    patch_line: int
    file_line: int
    expected: str
    actual: str
    kind: str  # space | tab | eol | unicode | indent | content


@dataclass(frozen=True)
class Closest:
    """The place in the file that most resembles what the patch looked for."""

    line: int
    similarity: float
    excerpt: str
    first_difference: FirstDifference | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a request or its plan, said so that a model can mend
    it in one try.

    `pointer` is an RFC 6901 pointer into the body as it was sent; `change` and
    `hunk` count from 0.
    """

    code: str
    message: str
    next_step: str
    pointer: str = ""
    change: int | None = None
    hunk: int | None = None
    path: str | None = None
    patch_line: int | None = None
    expected: tuple[str, ...] = ()
    closest: Closest | None = None
    candidates: tuple[str, ...] = ()
    file_sha256: str | None = None
    rungs_tried: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The fault as it is answered and stored: empty members left out, long
        texts cut, `hint` beside `next_step`.
        """
        body = {
            key: _cut(value)
            for key, value in asdict(self).items()
            if value not in (None, "", (), [])
        }
        return {"pointer": self.pointer, **body, "hint": _cut(self.next_step)}


@dataclass(frozen=True, slots=True)
class PlacedHunk:
    """A hunk that found its place: `line` is where it starts in the file, from
    1.
    """

    change: int
    hunk: int
    path: str
    line: int
    rung: str
    similarity: float = 1.0


class PatchRefused(Exception):
    """The sender's fault: the patch cannot be applied as it stands. Never
    retried.
    """

    def __init__(
        self, faults: Sequence[Fault], good: Sequence[PlacedHunk] = (), code: str = "plan_refused"
    ) -> None:
        super().__init__(faults[0].message if faults else code)
        self.code = code
        self.faults = tuple(faults)
        self.good = tuple(good)
        self.base: str | None = None  # the commit it was planned on, once somebody knows

    def to_json(self) -> dict[str, Any]:
        """The refusal as stored with a rejected patch and answered with a 422."""
        return {
            "code": self.code,
            **({"base": self.base} if self.base else {}),
            "errors": [fault.to_json() for fault in self.faults],
            "good": [asdict(hunk) for hunk in self.good],
        }


@dataclass
class HumanNeeded(Exception):
    """Nobody's fault: a person has to decide or to clear the way. The patch is
    held, still sealed.
    """

    code: str
    sentence: str
    next_step: str
    facts: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.sentence


@dataclass
class WorldFailed(Exception):
    """Our fault or the machine's: retried a bounded number of times, then the
    patch fails.
    """

    code: str
    sentence: str
    next_step: str = "See `gcr doctor`."

    def __str__(self) -> str:
        return self.sentence


class CancelAsked(Exception):
    """Somebody cancelled the patch while it ran."""


class LeaseLost(Exception):
    """Another runner may own the patch now: stop at once and touch nothing more."""


def _cut(value: object) -> object:
    """Names, paths and anchors are the sender's, and may be as long as a body."""
    if isinstance(value, str) and len(value) > _MOST_CHARACTERS:
        return value[: _MOST_CHARACTERS - 1] + "…"
    return value
