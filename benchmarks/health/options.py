"""Durations and repetitions, from the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Options:
    place: Path
    rounds: int = 5
    slice_seconds: int = 1  # wrk takes integers only
    polls: int = 1_000_000  # of the memory run
    calm_minutes: float = 1.0  # of normal load; the full length is an hour

    def fresh(self, name: str) -> Path:
        """A directory of its own for each section."""
        made = self.place / name
        made.mkdir(parents=True)
        return made
