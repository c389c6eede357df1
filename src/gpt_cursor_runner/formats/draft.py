"""What planning one change brings to light: its faults, its placed hunks, and
the tree it works on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from gpt_cursor_runner.formats.limits import Patience
from gpt_cursor_runner.formats.matching.ladder import Rung
from gpt_cursor_runner.formats.virtual_tree import Refusal, Spoiled, VirtualTree
from gpt_cursor_runner.patch.outcome import Fault, PlacedHunk


@dataclass
class Draft:
    """One change while it is planned. `idle` are remarks that become faults if
    the whole patch does nothing.
    """

    change: int
    tree: VirtualTree
    rungs: Sequence[Rung]
    patience: Patience = field(default_factory=Patience)
    merges: bool = False  # whether git may merge what does not fit into the file as it is now
    faults: list[Fault] = field(default_factory=list)
    idle: list[Fault] = field(default_factory=list)
    placed: list[PlacedHunk] = field(default_factory=list)
    skipped_after: int | None = None

    def fault(
        self,
        code: str,
        message: str,
        next_step: str,
        *,
        member: str = "",
        **details: Any,  # noqa: ANN401  the members of Fault
    ) -> Fault:
        """Note a fault; `member` is the part of the change it is about."""
        fault = self.describe(code, message, next_step, member=member, **details)
        self.faults.append(fault)
        return fault

    def describe(
        self,
        code: str,
        message: str,
        next_step: str,
        *,
        member: str = "",
        **details: Any,  # noqa: ANN401  the members of Fault
    ) -> Fault:
        """Word a fault of this change without noting it."""
        pointer = f"/changes/{self.change}" + (f"/{member}" if member else "")
        return Fault(code, message, next_step, pointer, self.change, **details)

    def place(
        self, path: str, line: int, rung: str, hunk: int = 0, similarity: float = 1.0
    ) -> None:
        """Note that a hunk found its place; `line` counts from 1."""
        self.placed.append(PlacedHunk(self.change, hunk, path, line, rung, similarity))

    def trial(self, rungs: Sequence[Rung] | None = None) -> Draft:
        """The same change with an empty page, for placing hunks in a way that
        may not count.
        """
        return Draft(
            self.change,
            self.tree,
            self.rungs if rungs is None else rungs,
            self.patience,
            self.merges,
        )

    def adopt(self, trial: Draft) -> None:
        """Let a trial count."""
        self.faults += trial.faults
        self.idle += trial.idle
        self.placed += trial.placed

    @contextmanager
    def step(
        self, *paths: str, member: str = "path", patch_line: int | None = None
    ) -> Iterator[None]:
        """Turn a refusal of the tree into a fault. After any fault inside,
        `paths` are spoiled for later changes.
        """
        sound = len(self.faults)
        try:
            yield
        except Refusal as refusal:
            self.fault(
                refusal.code,
                refusal.message,
                refusal.next_step,
                member=member,
                path=refusal.path,
                candidates=refusal.candidates,
                patch_line=patch_line,
            )
        except Spoiled as spoiled:
            self.skipped_after = spoiled.change
            for path in paths:
                self.tree.spoil(path, spoiled.change)
        if len(self.faults) > sound:
            for path in paths:
                self.tree.spoil(path, self.change)


C = TypeVar("C", contravariant=True)


class Format(Protocol[C]):
    """One type of change: make it on the draft's tree, or note every fault in
    it. Writes nothing else.
    """

    def __call__(self, change: C, draft: Draft) -> None: ...
