from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.builders import Desk, desk_in


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A gateway of its own."""
    with desk_in(tmp_path) as one:
        yield one


@pytest.fixture(scope="module")
def shared_desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A gateway for the tests of one file that leave nothing the others could
    mind.
    """
    with desk_in(tmp_path_factory.mktemp("desk")) as one:
        yield one
