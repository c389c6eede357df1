"""`make fuzz`: hostile patches for ten minutes, or MINUTES, two processes at
once. Exit code 1 when a promise broke.

Every input follows from the printed seed and its number: `python -m
tests.fuzzing --seed SEED --only NUMBER` runs one again.
"""

from __future__ import annotations

import argparse
import base64
import heapq
import json
import multiprocessing
import queue
import random
import sys
import tempfile
import time
from dataclasses import dataclass, field
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

from tests.fuzzing.inputs import Input
from tests.fuzzing.working import Done, Found, checked, input_of, starts_of, work

_WORKERS = 2
_HANGS_AFTER_SECONDS = 120.0
_KINDS_SHOWN = 20
_context = multiprocessing.get_context("fork")


@dataclass
class Run:
    """What both workers have told so far. `since` is what each of them is at:
    an input's number, from when.
    """

    seed: int
    until: float
    told: Any = field(default_factory=_context.Queue)
    workers: dict[int, ForkProcess] = field(default_factory=dict)
    since: dict[int, tuple[int, float]] = field(default_factory=dict)
    found: dict[str, list[Found]] = field(default_factory=dict)
    slowest: list[tuple[float, int, Done]] = field(default_factory=list)
    inputs: int = 0
    accepted: int = 0

    def start(self, worker: int, first: int) -> None:
        self.since[worker] = (first, time.time())
        arguments = (
            self.seed,
            first,
            _WORKERS,
            self.until,
            lambda what: self.told.put((worker, what)),
        )
        self.workers[worker] = _context.Process(target=work, args=arguments, daemon=True)
        self.workers[worker].start()

    def take(self, worker: int, what: Found | Done | int) -> None:
        if isinstance(what, int):
            self.since[worker] = (what, time.time())
            return
        self.inputs += 1
        if isinstance(what, Found):
            self.note(what)
            return
        self.accepted += what.checked.accepted > 0
        heapq.heappush(self.slowest, (what.checked.seconds, what.number, what))
        if len(self.slowest) > 10:
            heapq.heappop(self.slowest)

    def note(self, found: Found) -> None:
        kind = self.found.setdefault(found.where, [])
        kind.append(found)
        if len(kind) == 1:
            print(f"BROKEN by input {found.number} ({found.origin}): {found.where}", flush=True)

    def look_after(self) -> None:
        """End a worker that hangs, and start another in place of one that died."""
        for worker, process in list(self.workers.items()):
            number, since = self.since[worker]
            hangs = time.time() - since > _HANGS_AFTER_SECONDS
            if process.is_alive() and not hangs:
                continue
            if hangs or process.exitcode:
                process.kill()
                what = (
                    f"no end after {_HANGS_AFTER_SECONDS:.0f} s"
                    if hangs
                    else f"the process died: {process.exitcode}"
                )
                self.note(Found(number, "see the input", what, what))
            del self.workers[worker]
            if time.time() < self.until:
                self.start(worker, number + _WORKERS)


def main() -> int:
    arguments = _arguments()
    seed = (
        arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(1_000_000)
    )
    if arguments.only is not None:
        return _once_more(seed, arguments.only)
    print(f"seed {seed}, {arguments.minutes:g} minutes, {_WORKERS} processes", flush=True)
    run = Run(seed, time.time() + arguments.minutes * 60)
    for worker in range(_WORKERS):
        run.start(worker, worker)
    while run.workers:
        try:
            while True:
                run.take(*run.told.get(timeout=0.5))
        except queue.Empty:
            run.look_after()
    return _report(run)


def _report(run: Run) -> int:
    print(
        f"{run.inputs} inputs, {run.accepted} of them accepted at some tolerance; the slowest ten"
        " plans:"
    )
    for seconds, number, done in sorted(run.slowest, reverse=True):
        print(f"  {seconds:7.2f} s  {done.size:9} bytes  input {number}  {done.origin}")
    print(f"{sum(map(len, run.found.values()))} promises broken, of {len(run.found)} kinds")
    starts = starts_of(run.seed) if run.found else []
    for where, several in list(run.found.items())[:_KINDS_SHOWN]:
        first = min(several, key=lambda one: one.number)
        kept = _keep(run.seed, first, input_of(run.seed, first.number, starts))
        print(
            f"\n{where}, {len(several)} times; first by input {first.number} ({first.origin}), kept"
            f" in {kept}"
        )
        print(
            f"again: python -m tests.fuzzing --seed {run.seed} --only {first.number}\n{first.what}"
        )
    return 1 if run.found else 0


def _once_more(seed: int, number: int) -> int:
    given = input_of(seed, number, starts_of(seed))
    what = checked(number, given)
    print(f"{given.origin}, {given.size} bytes, kept in {_keep(seed, what, given)}")
    print(what.what if isinstance(what, Found) else what)
    return 1 if isinstance(what, Found) else 0


def _keep(seed: int, what: Found | Done, given: Input) -> Path:
    """Write an input down where somebody can look at it."""
    place = Path(tempfile.mkdtemp(prefix="gcr-fuzz-"))
    files = {path: base64.b64encode(data).decode() for path, data in given.files.items()}
    body = {
        "seed": seed,
        "number": what.number,
        "changes": given.changes,
        "others": given.others,
        "files_b64": files,
    }
    (place / "input.json").write_text(json.dumps(body, indent=1))
    return place / "input.json"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--only", type=int, metavar="NUMBER")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
