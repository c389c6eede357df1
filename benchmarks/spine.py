"""The git processes and ledger transactions that one landed patch costs.

A real runner lands one patch with one check, a tag and a checkout. A `git` that
is first on the search path logs its arguments and runs the real one.
"""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
from collections import Counter
from pathlib import Path

from sqlalchemy import Connection, event

from gpt_cursor_runner.ledger.database import open_database
from gpt_cursor_runner.ledger.ledger import Ledger
from gpt_cursor_runner.patch.status import Status
from tests.building import Templates
from tests.runner.builders import a_ghost, shell_check

EDIT = {"type": "str_replace", "path": "greeting.py", "old": '"hi"', "new": '"hello"'}


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="gcr-bench-") as directory:
        place = Path(directory)
        git_log = place / "git.log"
        with a_ghost(
            place, Templates.make(place / "templates"), checks=[shell_check("true")]
        ) as ghost:
            wrapper = write_counting_git(place / "bin", git_log)
            ghost.search_path = f"{wrapper}{os.pathsep}{ghost.search_path}"
            patch_id = ghost.send(changes=[EDIT])
            transactions = count_transactions(ghost.ledger)
            # Another connection, so that looking at the patch is not counted.
            observer = open_ledger(ghost.place / "state")
            ghost.work_until(lambda: observer.queries.get(patch_id).reported_at is not None)
            status = observer.queries.get(patch_id).status
            observer.close()
        if status is not Status.LANDED:
            raise SystemExit(f"the patch is {status}, not landed")
        commands = Counter(git_log.read_text().split())
    show("git processes", commands)
    show("ledger transactions", transactions)


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
    """Count the transactions that begin from now on, reads and writes apart."""
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
