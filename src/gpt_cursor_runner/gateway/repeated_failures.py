"""Which refusals a sender has met before at this door; kept in memory, bounded,
and soon forgotten.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from gpt_cursor_runner.patch.outcome import PatchRefused
from gpt_cursor_runner.patch.repeating import Kind, advised, kinds

_MOST_KEPT = 1000
_MOST_OF_ONE = 20  # as many as an answer lists: one large refusal must not push out what others met
_KEPT_SECONDS = 3600.0

Seen = tuple[str, str, Kind]  # sender, repository, and the kind of fault


@dataclass(frozen=True)
class _Count:
    times: int
    last_at: float


class RepeatedFailures:
    """Safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: OrderedDict[Seen, _Count] = (
            OrderedDict()
        )  # the one met longest ago comes first

    def note(self, sender: str, repository: str, refused: PatchRefused, now: float) -> PatchRefused:
        """Count a refusal; from the third of a kind on it advises the whole
        file.
        """
        with self._lock:
            times = {
                kind: self._count((sender, repository, kind), now)
                for kind in kinds(refused.faults)[:_MOST_OF_ONE]
            }
        return advised(refused, times)

    def forget(self, sender: str, repository: str, paths: Iterable[str]) -> None:
        """A patch of these paths was taken: whatever was wrong with them is
        mended.
        """
        mended = {*paths, ""}
        with self._lock:
            for seen in [
                seen
                for seen in self._counts
                if seen[:2] == (sender, repository) and seen[2][1] in mended
            ]:
                del self._counts[seen]

    def _count(self, seen: Seen, now: float) -> int:
        before = self._counts.pop(seen, None)
        known = before.times if before and now - before.last_at <= _KEPT_SECONDS else 0
        self._counts[seen] = _Count(known + 1, now)
        if len(self._counts) > _MOST_KEPT:
            self._counts.popitem(last=False)
        return known + 1
