"""Fixtures of all tests: no home directory, no foreign settings, real git
repositories and real ledgers.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gpt_cursor_runner.ledger.ledger import Ledger
from tests.building import Repo, make_ledger


@pytest.fixture(autouse=True)
def no_home(tmp_path: Path) -> Iterator[None]:
    """A test may neither read the user's settings nor write to their home.
    Variables that a command under test exports are removed after the test.
    """
    kept = dict(os.environ)
    for name in kept:
        if name.startswith(("GCR_", "GIT_")):
            del os.environ[name]
    # Root runs commands of a sandbox as another user, and tests need not have
    # installed the service that creates it.
    os.environ["GCR_SANDBOX__USER"] = "nobody"
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        os.environ[name] = str(tmp_path / "no-home")
    yield
    os.environ.clear()
    os.environ.update(kept)


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    """A repository on branch main with one commit; the checkout is at its path."""
    return Repo.create(tmp_path / "app")


@pytest.fixture
def make_repo(tmp_path: Path) -> Callable[[str], Repo]:
    return lambda name: Repo.create(tmp_path / name)


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that every user may enter and change."""
    directory = Path(tempfile.mkdtemp(prefix="gcr-test-"))
    directory.chmod(0o777)
    yield directory
    subprocess.run(["chmod", "-R", "u+rwX", str(directory)], check=True)
    shutil.rmtree(directory)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = make_ledger(tmp_path / "state")
    yield made
    made.close()
