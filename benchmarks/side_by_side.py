"""Four repositories with a check of ten seconds each: the time until all four
patches have landed, worked on side by side, and one after the other.

Aim: with a core or more for each, about the time of one.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

# `python benchmarks/…` puts this file's directory on the path, not the project.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from gpt_cursor_runner.config import Check, Config, Repository, RunnerLimits, State
from gpt_cursor_runner.config.settings import Settings
from gpt_cursor_runner.ledger.ledger import Ledger
from gpt_cursor_runner.patch.status import FINAL
from gpt_cursor_runner.wiring.ledger import build_ledger
from gpt_cursor_runner.wiring.runner import build_runner
from tests.building import Repo, make_admission

REPOSITORIES = 4
CHECK_SECONDS = 10


def main() -> None:
    for parallel, name in ((0, "one for each core"), (REPOSITORIES, "four"), (1, "one")):
        with tempfile.TemporaryDirectory(prefix="gcr-bench-") as directory:
            seconds = measure(Path(directory), parallel)
        print(f"{REPOSITORIES} patches, a check of {CHECK_SECONDS} s each, ", end="")
        print(f"at once: {name}: {seconds:.1f} s")


def measure(directory: Path, parallel: int) -> float:
    """Seconds from the start of the runner until all patches have landed."""
    check = Check(name="slow", command=("sleep", str(CHECK_SECONDS)))
    repositories = []
    for number in range(REPOSITORIES):
        repo = Repo.create(directory / f"app-{number}")
        repositories.append(
            Repository(name=repo.path.name, path=repo.path, checks=(check,), sandbox="none")
        )
    config = Config(
        state=State(dir=directory / "state"),
        repository=tuple(repositories),
        runner=RunnerLimits(parallel=parallel),
    )
    ledger = build_ledger(config)
    ledger.intake.accept([make_admission(repository=each.name) for each in repositories])
    began = time.monotonic()
    build_runner(Settings(config), lambda: have_all_ended(ledger)).run()
    seconds = time.monotonic() - began
    outcomes = {stored.status for stored in ledger.queries.page()}
    ledger.close()
    if outcomes != {"landed"}:
        raise SystemExit(f"not every patch landed: {sorted(outcomes)}")
    return seconds


def have_all_ended(ledger: Ledger) -> bool:
    return all(stored.status in FINAL for stored in ledger.queries.page())


if __name__ == "__main__":
    main()
