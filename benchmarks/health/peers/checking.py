"""The checks that the peers run: a file written and removed, a database asked.
Both can be made to hang.

`BENCH_PLACE` names the directory they work in; while a file `hung` lies there
the first check does not return.
"""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path
from uuid import uuid4

PLACE = Path(os.environ["BENCH_PLACE"])
_HUNG = PLACE / "hung"


def write_a_file() -> None:
    """Raises OSError when the file cannot be written."""
    hang_while_told()
    path = PLACE / f"probe-{uuid4().hex}"
    path.write_text("probe")
    path.unlink()


def ask_the_database() -> None:
    """Raises sqlite3.Error when the database does not answer."""
    connection = sqlite3.connect(PLACE / "peers.sqlite3")
    try:
        connection.execute("SELECT 1").fetchone()
    finally:
        connection.close()


def hang_while_told() -> None:
    """A disk that does not return until it is released."""
    while _HUNG.exists():
        time.sleep(0.1)
