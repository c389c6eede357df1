"""The time from the acceptance of a patch until an idle engine claims it. Aim:
50 ms.

Another process accepts the patch, as the gateway does; both read the system's
monotonic clock.
"""

from __future__ import annotations

import multiprocessing
import statistics
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

from gpt_cursor_runner.engine.embedded import EmbeddedEngine
from gpt_cursor_runner.ledger.database import migrate, open_database
from gpt_cursor_runner.ledger.ledger import Ledger
from gpt_cursor_runner.ledger.patches import AdmittedPatch, Delivery
from gpt_cursor_runner.patch.landed import Previewed
from gpt_cursor_runner.patch.model import Patch

ROUNDS = 100


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="gcr-bench-") as place:
        ledger = open_ledger(Path(place))
        engine = EmbeddedEngine(ledger, "bench")
        ours, theirs = multiprocessing.Pipe()
        sender = multiprocessing.get_context("spawn").Process(
            target=send, args=(Path(place), theirs)
        )
        sender.start()
        waits = [one_round(ledger, engine, ours) for _ in range(ROUNDS)]
        sender.join()
    waits.sort()
    print(f"accepted -> claimed, {ROUNDS} patches, ms: ", end="")
    print(
        f"p50 {statistics.median(waits):.1f}  p99 {waits[int(ROUNDS * 0.99) - 1]:.1f}  max"
        f" {waits[-1]:.1f}"
    )
    idle = idle_share(engine)
    print(f"an idle engine uses {idle * 100:.2f} % of one core")


def one_round(ledger: Ledger, engine: EmbeddedEngine, ours: Connection) -> float:
    ours.send("go")
    while (claim := engine.claim()) is None:
        engine.wait(0.5)
    claimed_at = time.monotonic()
    accepted_at: float = ours.recv()
    ledger.leases.finish(claim, Previewed(change=None), time.time())
    engine.wait(0.05)
    return (claimed_at - accepted_at) * 1000


def send(place: Path, theirs: Connection) -> None:
    ledger = open_ledger(place)
    for number in range(ROUNDS):
        theirs.recv()
        # The engine is idle by then, and at a different point of its poll each time.
        time.sleep(0.03 + number % 7 / 100)
        patch = Patch.model_validate_json(
            f'{{"id": "b{number}", "title": "t", "changes": [{{"type": "delete", "path": "a"}}]}}'
        )
        delivery = Delivery(f"r{number}", time.time(), "bench", "application/json", b"{}")
        ledger.intake.accept([AdmittedPatch(patch, "app", "main", delivery)])
        theirs.send(time.monotonic())


def idle_share(engine: EmbeddedEngine) -> float:
    used, began = time.process_time(), time.monotonic()
    for _ in range(10):
        engine.wait(0.5)
        engine.claim()
    return (time.process_time() - used) / (time.monotonic() - began)


def open_ledger(place: Path) -> Ledger:
    database = open_database(place, busy_seconds=5)
    migrate(database)
    return Ledger(database)


if __name__ == "__main__":
    main()
