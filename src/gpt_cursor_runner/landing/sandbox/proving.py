"""The proof of the sandbox, taken again now and then."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from gpt_cursor_runner.config import SandboxLimits
from gpt_cursor_runner.landing.sandbox.choosing import Proof, prove_sandbox

# A package is removed, a setting of the kernel changed.
PROVEN_SECONDS = 300.0
# A remedy should take effect soon.
UNPROVEN_SECONDS = 15.0
_UNTRIED = Proof("unknown", "the sandbox was not tried yet")


@dataclass
class ProvenSandbox:
    """Tries the sandbox of this machine when its last proof is too old. Threads
    may share one.
    """

    search_path: str
    limits: SandboxLimits
    directory: Path
    monotonic: Callable[[], float] = time.monotonic
    prove: Callable[[str, SandboxLimits, Path], Proof] = prove_sandbox
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _proof: Proof = _UNTRIED
    _due_at: float = 0.0

    def proof(self) -> Proof:
        """The current proof. A trial that does not end in time leaves the one
        before it in force, and is repeated soon.
        """
        with self._lock:
            if self.monotonic() >= self._due_at:
                self._renew()
            return self._proof

    def _renew(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        proof = self.prove(self.search_path, self.limits, self.directory)
        if proof.code != "unknown" or self._proof.code != "works":
            self._proof = proof
        seconds = PROVEN_SECONDS if proof.code == "works" else UNPROVEN_SECONDS
        self._due_at = self.monotonic() + seconds
