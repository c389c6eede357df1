"""From a body to an admission: read, lifted, validated, planned against the
branch tip; every fault at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import structlog

from gpt_cursor_runner.config import Config, Repository
from gpt_cursor_runner.formats.plan import make_plan
from gpt_cursor_runner.gateway.problems import Problem, faulty
from gpt_cursor_runner.gateway.repeated_failures import RepeatedFailures
from gpt_cursor_runner.landing.git import Git, GitFailed
from gpt_cursor_runner.landing.planning import Basis, plan_patch
from gpt_cursor_runner.landing.previewing import Preview, preview
from gpt_cursor_runner.ledger.patches import UnknownPatch
from gpt_cursor_runner.ledger.queries import Queries
from gpt_cursor_runner.patch.model import Change, Patch
from gpt_cursor_runner.patch.outcome import Fault, PatchRefused, WorldFailed
from gpt_cursor_runner.patch.parsing import Parsed, parse_patch

log = structlog.get_logger()

_MAX_GOOD = 100


@dataclass(frozen=True)
class Admitted:
    """A patch that may go into the ledger, and where it is bound for."""

    patch: Patch
    repository: Repository
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Wish:
    """A body as it was understood; without `admitted` there are `faults`."""

    parsed: Parsed
    repository: Repository | None
    faults: tuple[Fault, ...] = ()
    admitted: Admitted | None = None


@dataclass(frozen=True)
class Door:
    """Decides what is let in. Reads the repositories; writes nothing."""

    config: Config
    queries: Queries
    search_path: str
    _gits: dict[str, Git] = field(default_factory=dict)
    _failures: RepeatedFailures = field(default_factory=RepeatedFailures)

    def admit(self, raw: dict[str, Any], sender: str, now: float) -> Admitted:
        """Raise a 422 Problem that lists every fault of the body and of its
        plan at once.
        """
        wish = self._read(raw)
        refusal = self._foreseen(wish, sender, now)
        if wish.admitted is None or refusal is not None:
            raise _refused(wish, refusal)
        return wish.admitted

    def preview(self, raw: dict[str, Any], sender: str, now: float) -> tuple[Admitted, Preview]:
        """What would land, were it sent and run now; raises the Problem of a
        refusal, WorldFailed or GitFailed.
        """
        wish = self._read(raw)
        if wish.admitted is None:
            raise _refused(wish, self._foreseen(wish, sender, now))
        patch, repository = wish.admitted.patch, wish.admitted.repository
        plan = partial(make_plan, tuple(enumerate(patch.changes)), tolerance=patch.tolerance)
        try:
            shown = preview(self._git(repository), repository.branch, Basis.of(patch), plan, now)
        except PatchRefused as refusal:
            raise _refused(
                wish, self._failures.note(sender, repository.name, refusal, now)
            ) from refusal
        return (
            replace(
                wish.admitted, warnings=(*wish.admitted.warnings, *self._doubts(wish.admitted))
            ),
            shown,
        )

    def _read(self, raw: dict[str, Any]) -> _Wish:
        parsed = parse_patch(raw)
        repository, unknown = self._repository(parsed)
        if parsed.patch is None or repository is None:
            return _Wish(parsed, repository, (*parsed.faults, *unknown))
        return _Wish(
            parsed, repository, admitted=Admitted(parsed.patch, repository, parsed.lifted.warnings)
        )

    def _repository(self, parsed: Parsed) -> tuple[Repository | None, list[Fault]]:
        name = parsed.lifted.body.get("repository")
        found = (
            self.config.repository_named(name) if name is None or isinstance(name, str) else None
        )
        if found is not None:
            return found, []
        if any(fault.pointer == "/repository" for fault in parsed.faults):
            return None, []
        known = ", ".join(one.name for one in self.config.repository) or "none"
        if name is None:
            fault = Fault(
                "missing",
                "'repository' is missing",
                f"Add 'repository', one of: {known}.",
                "/repository",
            )
            return None, [fault]
        return None, [
            Fault(
                "unknown_repository", "no such repository", f"Use one of: {known}.", "/repository"
            )
        ]

    def _foreseen(self, wish: _Wish, sender: str, now: float) -> PatchRefused | None:
        """The refusal the runner would come to, where that can be foreseen.

        With another patch on its way to the branch it cannot: this one may
        build on that. One that came before is for the ledger to answer: it may
        have landed since, and would now be called applied already. A repository
        in trouble refuses nobody either; the runner will say what is wrong with
        it.
        """
        patch, repository = wish.parsed.patch, wish.repository
        if repository is None or not wish.parsed.sound or self._came_before(patch):
            return None
        if (patch is None and wish.parsed.lifted.body.get("base") is not None) or self._busy(
            repository
        ):
            return None
        plan = partial(
            make_plan, _independent(wish.parsed), tolerance=patch.tolerance if patch else "standard"
        )
        try:
            basis = Basis.of(patch) if patch else Basis()
            _, made = plan_patch(self._git(repository), repository.branch, basis, plan)
            self._failures.forget(sender, repository.name, [action.path for action in made.actions])
        except PatchRefused as refusal:
            return self._failures.note(sender, repository.name, refusal, now)
        except (WorldFailed, GitFailed, OSError) as trouble:
            log.warning(
                "admission_could_not_plan", repository=repository.name, reason=str(trouble)[:300]
            )
        return None

    def _doubts(self, admitted: Admitted) -> Iterator[str]:
        """Why the real call may come to something else than a preview."""
        if self._came_before(admitted.patch):
            yield f"the id {admitted.patch.id} was used before; another patch needs another id"
        if self._busy(admitted.repository):
            yield (
                "another patch is on its way to this branch; what it changes is not in this preview"
            )

    def _busy(self, repository: Repository) -> bool:
        return bool(self.queries.active_on(repository.name, repository.branch))

    def _came_before(self, patch: Patch | None) -> bool:
        try:
            return patch is not None and bool(self.queries.get(patch.id))
        except UnknownPatch:
            return False

    def _git(self, repository: Repository) -> Git:
        # Found once: the settings never change under a process, and asking git
        # again would cost a process a request.
        if repository.name not in self._gits:
            self._gits[repository.name] = Git.at(repository.path, self.search_path)
        return self._gits[repository.name]


def _refused(wish: _Wish, refusal: PatchRefused | None) -> Problem:
    faults = [*wish.faults, *(refusal.faults if refusal else ())]
    code = "invalid_patch" if wish.faults else "plan_refused"
    return faulty([_repointed(fault, wish.parsed) for fault in faults], code, **_planned(refusal))


def _planned(refusal: PatchRefused | None) -> dict[str, Any]:
    """What the planner found beside the faults: the commit it looked at, and
    the hunks that were good.
    """
    if refusal is None:
        return {"good": []}
    good = [asdict(one) for one in refusal.good[:_MAX_GOOD]]
    return {"base": refusal.base, "good": good} if refusal.base else {"good": good}


def _independent(parsed: Parsed) -> list[tuple[int, Change]]:
    """The sound changes whose files no malformed change names: only their
    faults are certain to be their own.
    """
    sound = {index for index, _ in parsed.sound}
    doubtful: set[object] = set()
    changes = parsed.lifted.body.get("changes")
    for index, change in enumerate(changes if isinstance(changes, list) else []):
        if index not in sound and isinstance(change, dict):
            doubtful |= {
                value for key in ("path", "from", "to") if isinstance(value := change.get(key), str)
            }
    return [
        (index, change) for index, change in parsed.sound if doubtful.isdisjoint(_paths(change))
    ]


def _paths(change: Change) -> set[object]:
    return {getattr(change, name, None) for name in ("path", "from_", "to")} - {None}


def _repointed(fault: Fault, parsed: Parsed) -> Fault:
    """A fault of the plan points into today's shape; the sender may have sent a
    historical one.
    """
    return (
        fault
        if fault in parsed.faults
        else replace(fault, pointer=parsed.lifted.pointer(fault.pointer))
    )
