"""Following a patch to its end within one request: how long the sender would
wait, and the wait itself.
"""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass, field

from flask import request
from sqlalchemy.exc import SQLAlchemyError

from gpt_cursor_runner.gateway.problems import Problem
from gpt_cursor_runner.ledger.patches import StoredPatch
from gpt_cursor_runner.ledger.queries import Queries
from gpt_cursor_runner.patch.status import FINAL, Status

MAX_WAIT_SECONDS = 25.0
# A waiting GET holds a server thread without a permit: waiters and permits
# together must leave health some threads.
MAX_WAITERS = 8
_GLANCE_SECONDS = 0.1


@dataclass(frozen=True)
class Waiting:
    """Few may wait at once, and nobody once `leaving` is set: the server is
    about to stop.
    """

    queries: Queries
    leaving: threading.Event = field(default_factory=threading.Event)
    places: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(MAX_WAITERS))

    def settled(self, patch_id: str, seconds: float) -> StoredPatch | None:
        """The patch when it ends, or is held, within that time; at once None
        when too many wait already.
        """
        if seconds <= 0 or not self.places.acquire(blocking=False):
            return None
        try:
            give_up_at = time.monotonic() + seconds
            while True:
                stored = self._glance(patch_id)
                if (
                    stored is not None
                    or time.monotonic() >= give_up_at
                    or self.leaving.wait(_GLANCE_SECONDS)
                ):
                    return stored
        finally:
            self.places.release()

    def _glance(self, patch_id: str) -> StoredPatch | None:
        # A ledger in trouble must not turn the answer for a patch that was
        # accepted into a failure.
        try:
            stored = self.queries.get(patch_id)
        except SQLAlchemyError:
            return None
        return stored if stored.status in FINAL | {Status.HELD} else None


def wait_seconds() -> float:
    """How long the sender would wait: `?wait=` or `Prefer: wait=`, 25 s at
    most; raise a 400 Problem for nonsense.
    """
    preferred = re.search(r"(?:^|[,;\s])wait=([^,;\s]*)", request.headers.get("Prefer", ""))
    asked = request.args.get("wait", preferred[1] if preferred else "0")
    if not re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,3})?", asked):
        raise Problem(400, "bad_wait", "wait is a number of seconds, 25 at most.")
    return min(float(asked), MAX_WAIT_SECONDS)
