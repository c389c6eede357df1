"""Counts the refusals that a sender meets again and again. In memory, bounded,
and forgotten after an hour.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import NamedTuple

from gpt_cursor_runner.patch.faults import PatchRefused
from gpt_cursor_runner.patch.repeating import Kind, advised, kinds

_MAX_COUNTS = 1000
# As many as an answer lists: one large refusal must not push out the counts of
# other senders.
_MAX_COUNTS_PER_REFUSAL = 20
_EXPIRY_SECONDS = 3600.0


class _Failure(NamedTuple):
    sender: str
    repository: str
    kind: Kind


class _Count(NamedTuple):
    times: int
    last_at: float


class RepeatedFailures:
    """Safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # The failure that was met longest ago comes first.
        self._counts: OrderedDict[_Failure, _Count] = OrderedDict()

    def note(self, sender: str, repository: str, refused: PatchRefused, now: float) -> PatchRefused:
        """Count a refusal, and return it with its advice: from the third of a
        kind on, to send the whole file.
        """
        counted = kinds(refused.faults)[:_MAX_COUNTS_PER_REFUSAL]
        with self._lock:
            times = {kind: self._count(_Failure(sender, repository, kind), now) for kind in counted}
        return advised(refused, times)

    def forget(self, sender: str, repository: str, paths: Iterable[str]) -> None:
        """Drop the counts of these paths, since the sender's patch of them was
        accepted.
        """
        corrected = {*paths, ""}  # "" counts the faults that name no file
        with self._lock:
            for failure in list(self._counts):
                _, path = failure.kind
                is_sender = (failure.sender, failure.repository) == (sender, repository)
                if is_sender and path in corrected:
                    del self._counts[failure]

    def _count(self, failure: _Failure, now: float) -> int:
        times = 1
        previous = self._counts.pop(failure, None)
        if previous is not None and now - previous.last_at <= _EXPIRY_SECONDS:
            times += previous.times
        self._counts[failure] = _Count(times, now)
        if len(self._counts) > _MAX_COUNTS:
            self._counts.popitem(last=False)
        return times
