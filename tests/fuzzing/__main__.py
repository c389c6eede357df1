"""`make fuzz`: hostile patches for ten minutes, or MINUTES, in two processes.
Exit code 1 when a promise broke. The printed seed and the number of an input
determine it: `python -m tests.fuzzing --seed SEED --only NUMBER` runs it again.
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
from tests.fuzzing.working import Done, Finding, checked, input_of, starts_of, work

_WORKERS = 2
_HANGS_AFTER_SECONDS = 120.0
_KINDS_SHOWN = 20
_context = multiprocessing.get_context("fork")


@dataclass
class Run:
    """The results of both workers. `since` holds the number of each worker's
    current input and its start.
    """

    seed: int
    until: float
    messages: Any = field(default_factory=_context.Queue)
    workers: dict[int, ForkProcess] = field(default_factory=dict)
    since: dict[int, tuple[int, float]] = field(default_factory=dict)
    findings: dict[str, list[Finding]] = field(default_factory=dict)
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
            lambda message: self.messages.put((worker, message)),
        )
        self.workers[worker] = _context.Process(target=work, args=arguments, daemon=True)
        self.workers[worker].start()

    def take(self, worker: int, message: Finding | Done | int) -> None:
        if isinstance(message, int):
            self.since[worker] = (message, time.time())
            return
        self.inputs += 1
        if isinstance(message, Finding):
            self.note(message)
            return
        self.accepted += message.checked.accepted > 0
        heapq.heappush(self.slowest, (message.checked.seconds, message.number, message))
        if len(self.slowest) > 10:
            heapq.heappop(self.slowest)

    def note(self, finding: Finding) -> None:
        kind = self.findings.setdefault(finding.where, [])
        kind.append(finding)
        if len(kind) == 1:
            print(
                f"BROKEN by input {finding.number} ({finding.origin}): {finding.where}", flush=True
            )

    def look_after(self) -> None:
        """End a worker that hangs, and start another in place of one that died."""
        for worker, process in list(self.workers.items()):
            number, since = self.since[worker]
            hangs = time.time() - since > _HANGS_AFTER_SECONDS
            if process.is_alive() and not hangs:
                continue
            if hangs or process.exitcode:
                process.kill()
                reason = f"the process died: {process.exitcode}"
                if hangs:
                    reason = f"no end after {_HANGS_AFTER_SECONDS:.0f} s"
                self.note(Finding(number, "see the input", reason, reason))
            del self.workers[worker]
            if time.time() < self.until:
                self.start(worker, number + _WORKERS)


def main() -> int:
    arguments = _arguments()
    seed = arguments.seed
    if seed is None:
        seed = random.SystemRandom().randrange(1_000_000)
    if arguments.only is not None:
        return _once_more(seed, arguments.only)
    print(f"seed {seed}, {arguments.minutes:g} minutes, {_WORKERS} processes", flush=True)
    run = Run(seed, time.time() + arguments.minutes * 60)
    for worker in range(_WORKERS):
        run.start(worker, worker)
    while run.workers:
        try:
            while True:
                run.take(*run.messages.get(timeout=0.5))
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
    print(f"{sum(map(len, run.findings.values()))} promises broken, of {len(run.findings)} kinds")
    if not run.findings:
        return 0
    starts = starts_of(run.seed)
    for where, several in list(run.findings.items())[:_KINDS_SHOWN]:
        first = min(several, key=lambda finding: finding.number)
        kept = _keep(run.seed, first, input_of(run.seed, first.number, starts))
        print(
            f"\n{where}, {len(several)} times; first by input {first.number} ({first.origin}), kept"
            f" in {kept}"
        )
        print(
            f"again: python -m tests.fuzzing --seed {run.seed} --only {first.number}\n{first.report}"
        )
    return 1


def _once_more(seed: int, number: int) -> int:
    given = input_of(seed, number, starts_of(seed))
    result = checked(number, given)
    print(f"{given.origin}, {given.size} bytes, kept in {_keep(seed, result, given)}")
    if isinstance(result, Finding):
        print(result.report)
        return 1
    print(result)
    return 0


def _keep(seed: int, result: Finding | Done, given: Input) -> Path:
    """Write an input to a file for inspection."""
    place = Path(tempfile.mkdtemp(prefix="gcr-fuzz-"))
    files = {path: base64.b64encode(data).decode() for path, data in given.files.items()}
    body = {
        "seed": seed,
        "number": result.number,
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
