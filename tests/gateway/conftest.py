from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.builders import InProcessGateway, gateway_in


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[InProcessGateway]:
    """A gateway for one test."""
    with gateway_in(tmp_path) as built:
        yield built


@pytest.fixture(scope="module")
def shared_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessGateway]:
    """A gateway for the tests of one file that do not disturb each other."""
    with gateway_in(tmp_path_factory.mktemp("gateway")) as built:
        yield built
