"""Checks that patches can land in the configured repositories, by the answer that
the runner itself acts on (`landing/readiness.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from gpt_cursor_runner.config import Repository
from gpt_cursor_runner.health.monitor.codes import Code, CodeTable
from gpt_cursor_runner.health.monitor.model import (
    SEVERITY,
    CheckStatus,
    Criticality,
    ProbeSpec,
    Reading,
)
from gpt_cursor_runner.patch.faults import Fault

_MAX_SHOWN = 50


@dataclass(frozen=True)
class _State:
    """The state of one repository."""

    code: str
    message: str = ""
    remedy: str = ""


class RepositoriesProbe:
    """`obstacles` returns the reasons why no patch can land in a repository,
    `runner_works` whether the runner works on a patch, which makes locks of its
    own.
    """

    spec = ProbeSpec(
        "repositories",
        "repositories",
        Criticality.IMPAIRING,
        interval_seconds=15.0,
        deadline_seconds=10.0,
    )
    # The remedies are those of the obstacles.
    codes = CodeTable(
        ok=Code(CheckStatus.OK),
        missing=Code(CheckStatus.FAIL),
        not_a_repository=Code(CheckStatus.FAIL),
        no_branch=Code(CheckStatus.FAIL),
        not_writable=Code(CheckStatus.FAIL),
        no_space=Code(CheckStatus.FAIL),
        program_missing=Code(CheckStatus.FAIL),
        sandbox_unavailable=Code(CheckStatus.FAIL),
        sandbox_shows_work_tree=Code(CheckStatus.FAIL),
        blocked=Code(CheckStatus.FAIL),
        in_use=Code(CheckStatus.WARN),
        foreign_lock=Code(CheckStatus.WARN),
        no_answer=Code(CheckStatus.UNKNOWN),
    )

    def __init__(
        self,
        repositories: Callable[[], Sequence[Repository]],
        obstacles: Callable[[Repository], list[Fault]],
        runner_works: Callable[[], bool],
    ) -> None:
        self._repositories = repositories
        self._obstacles = obstacles
        self._runner_works = runner_works

    def read(self) -> Reading:
        """Judge each repository; the worst of them gives the code."""
        states = {}
        for repository in self._repositories():
            states[repository.name] = self._inspect(repository)
        return self._worst(states)

    def _inspect(self, repository: Repository) -> _State:
        for fault in self._obstacles(repository):
            if fault.code == "foreign_lock" and self._runner_works():
                continue
            code = fault.code
            if code not in self.codes:
                code = "blocked"
            return _State(code, fault.message, fault.next_step)
        return _State("ok")

    def _worst(self, states: Mapping[str, _State]) -> Reading:
        def severity(named: tuple[str, _State]) -> int:
            return SEVERITY[self.codes[named[1].code].status]

        worst_first = sorted(states.items(), key=severity, reverse=True)
        data = {}
        for name, state in worst_first[:_MAX_SHOWN]:
            data[name] = {
                "status": self.codes[state.code].status.value,
                "code": state.code,
            }
        messages = [f"{name}: {state.message}" for name, state in worst_first if state.message]
        worst = _State("ok")
        if worst_first:
            worst = worst_first[0][1]
        reading = self.codes.reading(worst.code, "; ".join(messages), data)
        if worst.remedy:
            return replace(reading, remedy=worst.remedy)
        return reading
