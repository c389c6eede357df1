"""The build tools whose projects `gcr init` sets up, one module each."""

from __future__ import annotations

from typing import Protocol

from gpt_cursor_runner.cli.ecosystems import go, native, node, python, rust
from gpt_cursor_runner.cli.ecosystems.project import Project, Proposal


class Ecosystem(Protocol):
    """A module of this package. Its proposals are in the order in which they
    are likely to work; there are none for a project that is not of its kind.
    """

    @property
    def NAME(self) -> str: ...  # noqa: N802  a constant of the module

    def proposals(self, project: Project) -> list[Proposal]: ...


# In this order when a project is of several kinds.
ECOSYSTEMS: tuple[Ecosystem, ...] = (python, node, go, rust, native)


def proposals_for(project: Project) -> list[Proposal]:
    """The setup commands and checks that may work for a project, the likeliest
    first.
    """
    proposals: list[Proposal] = []
    for ecosystem in ECOSYSTEMS:
        proposals += ecosystem.proposals(project)
    return proposals
