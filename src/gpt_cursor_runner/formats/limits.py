"""How much one patch may ask for: a plan is made in memory, while a sender
waits at the door.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_FILE_BYTES = 10 * 1024 * 1024  # of a file that is edited or written
MAX_FILES = 2000  # that one diff speaks of
MAX_HUNKS = 10_000  # of all changes of a patch together
MAX_PATHS = 4000  # that a patch touches; a move touches two
MAX_TOTAL_BYTES = 256 * 1024 * 1024  # of all files touched, before and after


@dataclass
class Patience:
    """What all changes of one patch may cost together.

    Seconds are for the search of patterns, bytes for what binary patches unfold
    to, hunks for the ladder, places for where they may stand, aligned lines for
    context that differs, sections for the parts of files they come in,
    explanations for refusals that look for the closest place, merges for
    processes of git's.
    """

    left_seconds: float = 2.0
    left_bytes: int = 64 * 1024 * 1024
    left_hunks: int = MAX_HUNKS
    left_places: int = 500_000
    left_aligned: int = 20_000
    left_sections: int = 10_000
    left_explanations: int = 20  # as many as an answer lists
    left_merges: int = 100

    def explains(self) -> bool:
        """Whether one more refusal is worth looking for what resembles it."""
        self.left_explanations -= 1
        return self.left_explanations >= 0
