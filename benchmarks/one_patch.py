"""The modules, git processes and ledger transactions that one landed patch needs.

The gateway takes the patch in this process. A real runner lands it with one
check, a tag and a checkout. A `git` that is first on the search path logs its
arguments and runs the real one.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from sqlalchemy import Connection, event

from gpt_cursor_runner.ledger.database import open_database
from gpt_cursor_runner.ledger.ledger import Ledger
from gpt_cursor_runner.patch.status import Status
from tests.building import Templates, make_ledger, patch_body
from tests.gateway.builders import gateway_in
from tests.runner.builders import a_ghost, shell_check

PACKAGE = "/src/gpt_cursor_runner/"
EDIT = {"type": "str_replace", "path": "greeting.py", "old": '"hi"', "new": '"hello"'}


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="gcr-bench-") as directory:
        accept_one(Path(directory))
    with tempfile.TemporaryDirectory(prefix="gcr-bench-") as directory:
        land_one(Path(directory))


def accept_one(place: Path) -> None:
    with modules_called() as modules, gateway_in(place) as gateway:
        # The set-up ran modules of its own.
        modules.clear()
        answer = gateway.post(patch_body(changes=[EDIT]))
        on_the_way_in = by_package(modules)
    if answer.status_code != 202:
        raise SystemExit(f"the gateway answered {answer.status_code}, not 202")
    show("modules on the way in", on_the_way_in)


def land_one(place: Path) -> None:
    git_log = place / "git.log"
    templates = Templates.make(place / "templates")
    with a_ghost(place, templates, checks=[shell_check("true")]) as ghost:
        wrapper = write_counting_git(place / "bin", git_log)
        ghost.search_path = f"{wrapper}{os.pathsep}{ghost.search_path}"
        patch_id = ghost.send(changes=[EDIT])
        transactions = count_transactions(ghost.ledger)
        # Another connection, so that looking at the patch is not counted.
        observer = make_ledger(ghost.place / "state")
        with modules_called() as modules:
            ghost.work_until(lambda: observer.queries.get(patch_id).reported_at is not None)
        status = observer.queries.get(patch_id).status
        observer.close()
    if status is not Status.LANDED:
        raise SystemExit(f"the patch is {status}, not landed")
    show("modules from the claim to the report", by_package(modules))
    show("git processes", Counter(git_log.read_text().split()))
    show("ledger transactions", transactions)


def by_package(modules: set[str]) -> Counter[str]:
    return Counter(module.partition("/")[0] for module in modules)


@contextmanager
def modules_called() -> Iterator[set[str]]:
    """Collect the modules of the product whose code runs, in all threads."""
    modules: set[str] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        file = frame.f_code.co_filename
        if event == "call" and PACKAGE in file and file.endswith(".py"):
            modules.add(file.partition(PACKAGE)[2])

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield modules
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def write_counting_git(directory: Path, log: Path) -> Path:
    """Write a `git` that appends its subcommand to `log`; return its directory."""
    real = shutil.which("git")
    if real is None:
        raise SystemExit("git is not installed")
    directory.mkdir()
    script = directory / "git"
    script.write_text(
        f"""#!/bin/sh
for argument; do
    if [ -n "$value" ]; then value=; continue; fi
    case "$argument" in
        -c|-C) value=next ;;
        -*) ;;
        *) echo "$argument" >> {shlex.quote(str(log))}; break ;;
    esac
done
exec {shlex.quote(real)} "$@"
"""
    )
    script.chmod(0o755)
    return directory


def open_ledger(directory: Path) -> Ledger:
    return Ledger(open_database(directory, busy_seconds=5.0))


def count_transactions(ledger: Ledger) -> Counter[str]:
    """Count the transactions from now on, reads and writes separately."""
    counts: Counter[str] = Counter()

    @event.listens_for(ledger.database.engine, "before_cursor_execute")
    def count(_: Connection, __: object, statement: str, *___: object) -> None:
        if statement == "BEGIN":
            counts["read"] += 1
        elif statement == "BEGIN IMMEDIATE":
            counts["write"] += 1

    return counts


def show(title: str, counts: Counter[str]) -> None:
    kinds = ", ".join(f"{count} {name}" for name, count in counts.most_common())
    print(f"{title}: {counts.total()} ({kinds})")


if __name__ == "__main__":
    main()
