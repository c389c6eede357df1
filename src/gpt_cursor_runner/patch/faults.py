"""One refusal as a value, and the exceptions that carry it.

The class of the exception decides whose fault it was. `runner/reaction.py` maps
each class to one outcome.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

# Names, paths and anchors come from the sender and may be as long as a body.
# Excerpts have their own bound.
_MAX_TEXT_CHARS = 2_000


@dataclass(frozen=True)
class FirstDifference:
    """The first place where the text sent and the text in the file differ (line
    numbers from 1).
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

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Closest:
        difference = data.get("first_difference")
        if difference is not None:
            difference = FirstDifference(**difference)
        return cls(data["line"], data["similarity"], data["excerpt"], difference)


@dataclass(frozen=True, slots=True)
class Fault:
    """One refusal: a code for programs, a message, the next step, and where.

    `pointer` is an RFC 6901 pointer into the body as it was sent; `change` and
    `hunk` count from 0, `patch_line` from 1.
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

    @property
    def where(self) -> str:
        """The place of the fault in one text; "" when it is in no one place."""
        return self.pointer or self.path or ""

    def to_json(self) -> dict[str, Any]:
        """The fault as it is stored and sent to clients. Empty members are left
        out, long texts cut; `hint` is an alias of `next_step`.
        """
        body: dict[str, Any] = {"pointer": self.pointer}
        for name, value in asdict(self).items():
            if value not in (None, "", (), []):
                body[name] = _cut(value)
        body["hint"] = _cut(self.next_step)
        return body

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Fault:
        """Read a stored fault; a member that was left out reads as empty."""
        closest = data.get("closest")
        return cls(
            code=data.get("code", ""),
            message=data.get("message", ""),
            next_step=data.get("next_step", ""),
            pointer=data.get("pointer", ""),
            change=data.get("change"),
            hunk=data.get("hunk"),
            path=data.get("path"),
            patch_line=data.get("patch_line"),
            expected=tuple(data.get("expected", ())),
            closest=None if closest is None else Closest.from_json(closest),
            candidates=tuple(data.get("candidates", ())),
            file_sha256=data.get("file_sha256"),
            rungs_tried=tuple(data.get("rungs_tried", ())),
        )


@dataclass(frozen=True, slots=True)
class PlacedHunk:
    """A hunk that matched: `line` is where it starts in the file, from 1."""

    change: int
    hunk: int
    path: str
    line: int
    rung: str
    similarity: float = 1.0


class Refused(Exception):
    """Base of the exceptions that carry one fault."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault

    @property
    def code(self) -> str:
        return self.fault.code

    @property
    def message(self) -> str:
        return self.fault.message

    @property
    def next_step(self) -> str:
        return self.fault.next_step


class PatchRefused(Exception):
    """The sender's fault: the patch cannot be applied as it stands. It is never
    retried.
    """

    def __init__(
        self, faults: Sequence[Fault], good: Sequence[PlacedHunk] = (), code: str = "plan_refused"
    ) -> None:
        super().__init__(faults[0].message if faults else code)
        self.code = code
        self.faults = tuple(faults)
        self.good = tuple(good)
        self.base: str | None = None  # the commit it was planned on, set by the planner


@dataclass(frozen=True)
class ApprovalRule:
    """The owner's rule asks for an approval; the paths may be none."""

    protected_paths: tuple[str, ...]


@dataclass(frozen=True)
class CheckoutInUse:
    """The owner's checkout cannot be moved. `git_said` is git's message,
    `branch_at` the commit at which the branch stays.
    """

    checkout: str
    git_said: str | None = None
    branch_at: str | None = None


HoldCause = ApprovalRule | CheckoutInUse


class HumanNeeded(Refused):
    """Not a fault: a person has to decide or to make room. The patch is held,
    still sealed.
    """

    def __init__(
        self,
        code: str,
        message: str,
        next_step: str,
        cause: HoldCause | None = None,
    ) -> None:
        super().__init__(Fault(code, message, next_step))
        self.cause = cause


class WorldFailed(Refused):
    """A fault of this machine or this program: retried a bounded number of
    times, then the patch fails. Without `retry` it fails at once, because only
    the owner can mend the cause.
    """

    def __init__(
        self,
        code: str,
        message: str,
        next_step: str = "See `gcr doctor`.",
        *,
        retry: bool = True,
    ) -> None:
        super().__init__(Fault(code, message, next_step))
        self.retry = retry


class CancelAsked(Exception):
    """A request to cancel the patch arrived while it ran; the message is the
    actor's name.
    """


class LeaseLost(Exception):
    """Another runner may hold the patch now: stop at once and change nothing."""


def _cut(value: object) -> object:
    if isinstance(value, str) and len(value) > _MAX_TEXT_CHARS:
        return value[: _MAX_TEXT_CHARS - 1] + "…"
    return value
