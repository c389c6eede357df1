from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.builders import Terminal
from tests.running import Installation, installed


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A user in an empty directory, with an installation whose processes do not
    run.
    """
    directory = tmp_path / "here"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return Terminal(Installation.create(tmp_path))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Gateway and runner, for the tests of one file."""
    with installed(tmp_path_factory.mktemp("running"), "gateway", "runner") as installation:
        yield installation
