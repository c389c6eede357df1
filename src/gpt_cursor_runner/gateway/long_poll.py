"""Waiting for the end of a patch within one request (long polling)."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from flask import request
from sqlalchemy.exc import SQLAlchemyError

from gpt_cursor_runner.gateway.problems import Problem
from gpt_cursor_runner.ledger.patches import StoredPatch
from gpt_cursor_runner.ledger.queries import Queries
from gpt_cursor_runner.patch.status import FINAL, Status

MAX_WAIT_SECONDS = 25.0
# A waiting GET occupies a server thread without a permit: waiters and permits
# together must leave health some threads.
MAX_WAITERS = 8
_POLL_SECONDS = 0.1
# A held patch waits for a person, so waiting longer would not help the sender.
_SETTLED = FINAL | {Status.HELD}

_PREFERRED_WAIT = re.compile(r"(?:^|[,;\s])wait=([^,;\s]*)")
_SECONDS = re.compile(r"[0-9]{1,4}(\.[0-9]{1,3})?")


@dataclass(frozen=True)
class LongPoll:
    """Lets a few requests wait at a time, and ends every wait once `stopping`
    is set.
    """

    queries: Queries
    stopping: threading.Event = field(default_factory=threading.Event)
    slots: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(MAX_WAITERS))
    monotonic: Callable[[], float] = time.monotonic

    def wait_until_settled(self, patch_id: str, timeout_seconds: float) -> StoredPatch | None:
        """The patch once it has ended or is held; None after the timeout, or at
        once when no slot is free.
        """
        if timeout_seconds <= 0 or not self.slots.acquire(blocking=False):
            return None
        try:
            return self._poll(patch_id, self.monotonic() + timeout_seconds)
        finally:
            self.slots.release()

    def _poll(self, patch_id: str, deadline: float) -> StoredPatch | None:
        while True:
            stored = self._settled(patch_id)
            if stored is not None or self.monotonic() >= deadline:
                return stored
            if self.stopping.wait(_POLL_SECONDS):
                return None

    def _settled(self, patch_id: str) -> StoredPatch | None:
        # The patch was accepted already: a ledger in trouble must not turn the
        # answer into a failure.
        try:
            stored = self.queries.get(patch_id)
        except SQLAlchemyError:
            return None
        if stored.status not in _SETTLED:
            return None
        return stored


def requested_wait_seconds() -> float:
    """The seconds in `?wait=` or `Prefer: wait=`, at most MAX_WAIT_SECONDS; 0
    without either. Raises a 400 Problem when it is not a number.
    """
    preferred = _PREFERRED_WAIT.search(request.headers.get("Prefer", ""))
    wait = preferred[1] if preferred else "0"
    wait = request.args.get("wait", wait)
    if not _SECONDS.fullmatch(wait):
        raise Problem(
            400,
            "bad_wait",
            "wait is not a number of seconds.",
            f"Send 0 to {MAX_WAIT_SECONDS:.0f}.",
        )
    return min(float(wait), MAX_WAIT_SECONDS)
