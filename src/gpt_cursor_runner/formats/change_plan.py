"""One change while it is planned: its faults, its placed hunks, and the tree it
edits.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from gpt_cursor_runner.formats.limits import Budget
from gpt_cursor_runner.formats.matching.ladder import Rung
from gpt_cursor_runner.formats.virtual_tree import Refusal, Spoiled, VirtualTree
from gpt_cursor_runner.patch.faults import Fault, PlacedHunk


@dataclass
class ChangePlan:
    """Collects the faults and placed hunks of one change.

    `no_effect` are faults only if the whole patch has no effect. `skipped_after`
    is the earlier change whose fault prevented this one from being planned.
    """

    change: int
    tree: VirtualTree
    rungs: Sequence[Rung]
    budget: Budget = field(default_factory=Budget)
    may_merge: bool = False  # with another version of the file, through git
    faults: list[Fault] = field(default_factory=list)
    no_effect: list[Fault] = field(default_factory=list)
    placed_hunks: list[PlacedHunk] = field(default_factory=list)
    skipped_after: int | None = None

    def add_fault(
        self,
        code: str,
        message: str,
        next_step: str,
        *,
        member: str = "",
        **details: Any,  # noqa: ANN401  the members of Fault
    ) -> Fault:
        """Record a fault; `member` is the part of the change it is about."""
        pointer = self.pointer(member)
        fault = Fault(code, message, next_step, pointer, self.change, **details)
        self.faults.append(fault)
        return fault

    def pointer(self, member: str) -> str:
        """Return the JSON pointer of this change, or of one member of it."""
        pointer = f"/changes/{self.change}"
        if member:
            pointer += f"/{member}"
        return pointer

    def add_placed_hunk(
        self, path: str, line: int, rung: str, hunk: int = 0, similarity: float = 1.0
    ) -> None:
        """Record the place of a hunk; `line` counts from 1."""
        self.placed_hunks.append(PlacedHunk(self.change, hunk, path, line, rung, similarity))

    def remove_placed_hunks(self, numbers: Collection[int]) -> None:
        """Forget the places of these hunks."""
        self.placed_hunks = [placed for placed in self.placed_hunks if placed.hunk not in numbers]

    def start_trial(self, rungs: Sequence[Rung] | None = None) -> ChangePlan:
        """Return an empty plan for the same change, for placing hunks in a way
        that may be discarded.
        """
        return ChangePlan(
            self.change,
            self.tree,
            self.rungs if rungs is None else rungs,
            self.budget,
            self.may_merge,
        )

    def accept_trial(self, trial: ChangePlan) -> None:
        """Add the faults and placed hunks of a trial to this plan."""
        self.faults += trial.faults
        self.no_effect += trial.no_effect
        self.placed_hunks += trial.placed_hunks

    @contextmanager
    def collect_refusals(
        self, *paths: str, member: str = "path", patch_line: int | None = None
    ) -> Iterator[None]:
        """Turn a refusal of the tree into a fault. After any fault inside,
        `paths` are spoiled for later changes.
        """
        faults_before = len(self.faults)
        try:
            yield
        except Refusal as refusal:
            self.add_fault(
                refusal.code,
                refusal.message,
                refusal.next_step,
                member=member,
                path=refusal.fault.path,
                candidates=refusal.fault.candidates,
                patch_line=patch_line,
            )
        except Spoiled as spoiled:
            self.skipped_after = spoiled.change
            self.tree.spoil(paths, spoiled.change)
        if len(self.faults) > faults_before:
            self.tree.spoil(paths, self.change)


C = TypeVar("C", contravariant=True)


class Format(Protocol[C]):
    """One type of change: applies it to the tree of its plan, or records every
    fault in it. Writes nothing else.
    """

    def __call__(self, change: C, plan: ChangePlan) -> None: ...
