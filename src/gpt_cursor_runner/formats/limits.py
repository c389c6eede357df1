"""How much one patch may cost: a plan is made in memory, while the sender waits
for the response.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_FILE_BYTES = 10 * 1024 * 1024  # of a file that is edited or written
MAX_FILES = 2000  # that one diff names
MAX_HUNKS = 10_000  # of all changes of a patch together
MAX_PATHS = 4000  # that a patch touches; a move touches two
MAX_TOTAL_BYTES = 256 * 1024 * 1024  # of all files touched, before and after


@dataclass
class Budget:
    """The costs that remain for all changes of one patch; each consumer
    subtracts its share.
    """

    seconds_left: float = 2.0  # searching with regular expressions
    bytes_left: int = 64 * 1024 * 1024  # of unpacked binary patches
    hunks_left: int = MAX_HUNKS  # matched on the ladder
    places_left: int = 500_000  # where hunks match
    aligned_lines_left: int = 20_000  # of context that differs
    sections_left: int = 10_000  # parts of files
    explanations_left: int = 20  # closest places; a response lists as many faults
    merges_left: int = 100  # processes of git

    def take_explanation(self) -> bool:
        """Spend one explanation; False when none is left."""
        self.explanations_left -= 1
        return self.explanations_left >= 0
