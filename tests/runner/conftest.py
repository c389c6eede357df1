"""The ghost as a fixture: `make_ghost(checks=[…], approval="always")`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.building import Templates
from tests.runner.builders import Ghost, a_ghost, shell_check

MakeGhost = Callable[..., Ghost]


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Templates:
    return Templates.make(tmp_path_factory.mktemp("templates"))


@pytest.fixture
def make_ghost(tmp_path: Path, templates: Templates) -> Iterator[MakeGhost]:
    with ExitStack() as stack:

        def make(**repository: Any) -> Ghost:
            return stack.enter_context(a_ghost(tmp_path / "ghost", templates, **repository))

        yield make


@pytest.fixture
def ghost(make_ghost: MakeGhost) -> Ghost:
    """A ghost whose one check passes."""
    return make_ghost(checks=[shell_check("echo checked")])
