"""Projects of a few files, and what is proposed for them."""

from __future__ import annotations

from gpt_cursor_runner.cli.ecosystems import proposals_for
from gpt_cursor_runner.cli.ecosystems.project import Project, Proposal


def proposed_for(files: dict[str, str]) -> list[Proposal]:
    return proposals_for(Project.of_files(files))


def titles(files: dict[str, str]) -> list[str]:
    return [proposal.title for proposal in proposed_for(files)]


def scripts(files: dict[str, str]) -> list[str]:
    """The setup command of each proposal, as a line of shell; empty without."""
    lines = []
    for proposal in proposed_for(files):
        lines.append(" && ".join(setup.command[-1] for setup in proposal.setup))
    return lines
