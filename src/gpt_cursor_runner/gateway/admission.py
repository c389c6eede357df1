"""Decides which patches are recorded: the body is parsed, lifted and planned at
the branch tip, so that one answer lists every fault.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from gpt_cursor_runner.config import Repository
from gpt_cursor_runner.config.settings import Settings
from gpt_cursor_runner.formats.plan import make_plan
from gpt_cursor_runner.gateway.independent_changes import independent_changes
from gpt_cursor_runner.gateway.problems import Problem, unprocessable
from gpt_cursor_runner.gateway.repeated_failures import RepeatedFailures
from gpt_cursor_runner.landing.git import Git, GitFailed
from gpt_cursor_runner.landing.planning import Basis, plan_patch
from gpt_cursor_runner.landing.previewing import Preview, preview
from gpt_cursor_runner.ledger.patches import AdmittedPatch, Delivery, UnknownPatch
from gpt_cursor_runner.ledger.queries import Queries
from gpt_cursor_runner.patch.faults import Fault, PatchRefused, WorldFailed
from gpt_cursor_runner.patch.model import Patch
from gpt_cursor_runner.patch.parsing import Parsed, parse_patch

log = structlog.get_logger()

_MAX_GOOD_HUNKS = 100


@dataclass(frozen=True)
class Admission:
    """Admits patches or refuses them. Reads the repositories and the ledger;
    writes nothing.
    """

    settings: Settings
    queries: Queries
    search_path: str
    _gits: dict[Path, Git] = field(default_factory=dict)
    _failures: RepeatedFailures = field(default_factory=RepeatedFailures)

    def admit(self, raw: dict[str, Any], delivery: Delivery, health: str) -> AdmittedPatch:
        """The patch in a body, ready to be recorded with the health at its
        arrival; raise a 422 Problem that lists every fault of the body and of
        its plan.
        """
        parsed = parse_patch(raw)
        repository, faults = self._find_repository(parsed)
        refusal = self._predict_refusal(parsed, repository, delivery)
        if parsed.patch is None or repository is None or refusal is not None:
            raise _problem(parsed, faults, refusal)
        return AdmittedPatch(
            parsed.patch,
            repository.name,
            repository.branch,
            delivery,
            parsed.lifted.warnings,
            health,
        )

    def preview(self, raw: dict[str, Any], delivery: Delivery) -> tuple[AdmittedPatch, Preview]:
        """The patch in a body, and the commit that would land if it ran now;
        raise a 422 Problem when it is refused, WorldFailed or GitFailed when
        the repository cannot be used.
        """
        parsed = parse_patch(raw)
        repository, faults = self._find_repository(parsed)
        patch = parsed.patch
        if patch is None or repository is None:
            raise _problem(parsed, faults, self._predict_refusal(parsed, repository, delivery))
        plan = partial(make_plan, tuple(enumerate(patch.changes)), tolerance=patch.tolerance)
        git, basis = self._git(repository), Basis.of(patch)
        try:
            planned = preview(git, repository.branch, basis, plan, delivery.at)
        except PatchRefused as refusal:
            raise _problem(parsed, [], self._note(refusal, repository, delivery)) from refusal
        warnings = (*parsed.lifted.warnings, *self._preview_warnings(patch, repository))
        admitted = AdmittedPatch(patch, repository.name, repository.branch, delivery, warnings)
        return admitted, planned

    def _find_repository(self, parsed: Parsed) -> tuple[Repository | None, list[Fault]]:
        """The repository that a body names, or the faults of that name."""
        name = parsed.lifted.body.get("repository")
        repository = self.settings.config.repository_named(name)
        if repository is not None:
            return repository, []
        if any(fault.pointer == "/repository" for fault in parsed.faults):
            return None, []
        return None, [self._unknown_repository(name)]

    def _unknown_repository(self, name: object) -> Fault:
        names = [repository.name for repository in self.settings.config.repository]
        choice = f"one of: {', '.join(names) or 'none'}."
        if name is None:
            return Fault(
                "missing", "'repository' is missing", f"Add 'repository', {choice}", "/repository"
            )
        return Fault("unknown_repository", "no such repository", f"Use {choice}", "/repository")

    def _predict_refusal(
        self, parsed: Parsed, repository: Repository | None, delivery: Delivery
    ) -> PatchRefused | None:
        """The refusal that the runner would come to, where it is predictable."""
        if repository is None or not self._is_predictable(parsed, repository):
            return None
        try:
            paths = self._plan(parsed, repository)
        except PatchRefused as refusal:
            return self._note(refusal, repository, delivery)
        except (WorldFailed, GitFailed, OSError) as error:
            # A repository in trouble is not the sender's fault. The runner
            # meets the same trouble, and reports it.
            log.warning(
                "admission_could_not_plan", repository=repository.name, reason=str(error)[:300]
            )
            return None
        self._failures.forget(delivery.submitted_by, repository.name, paths)
        return None

    def _is_predictable(self, parsed: Parsed, repository: Repository) -> bool:
        if not parsed.sound:
            return False
        if parsed.patch is None:
            # The base of a malformed patch was not validated.
            has_base = parsed.lifted.body.get("base") is not None
            return not has_base and not self._is_busy(repository)
        # The ledger answers a repeat: the first may have landed since, and the
        # second would be refused as applied already.
        if self._was_used(parsed.patch.id):
            return False
        return not self._is_busy(repository)

    def _plan(self, parsed: Parsed, repository: Repository) -> list[str]:
        """Plan the changes at the branch tip; the paths they touch."""
        basis = Basis()
        plan = partial(make_plan, independent_changes(parsed), tolerance="standard")
        if parsed.patch is not None:
            basis = Basis.of(parsed.patch)
            plan = partial(plan, tolerance=parsed.patch.tolerance)
        _, planned = plan_patch(self._git(repository), repository.branch, basis, plan)
        return [action.path for action in planned.actions]

    def _note(
        self, refusal: PatchRefused, repository: Repository, delivery: Delivery
    ) -> PatchRefused:
        return self._failures.note(delivery.submitted_by, repository.name, refusal, delivery.at)

    def _preview_warnings(self, patch: Patch, repository: Repository) -> Iterator[str]:
        """Reasons why the real call may end differently from its preview."""
        if self._was_used(patch.id):
            yield f"the id {patch.id} was used before; another patch needs another id"
        if self._is_busy(repository):
            yield "another patch is on its way to this branch; this preview leaves out its changes"

    def _is_busy(self, repository: Repository) -> bool:
        """Whether another patch is on its way to the branch: this one may build
        on it, so its plan at the tip proves nothing.
        """
        return bool(self.queries.active_on(repository.name, repository.branch))

    def _was_used(self, patch_id: str) -> bool:
        try:
            self.queries.get(patch_id)
        except UnknownPatch:
            return False
        return True

    def _git(self, repository: Repository) -> Git:
        # Kept for the life of the process, because `Git.at` costs a git process.
        if repository.path not in self._gits:
            self._gits[repository.path] = Git.at(repository.path, self.search_path)
        return self._gits[repository.path]


def _problem(
    parsed: Parsed, repository_faults: Sequence[Fault], refusal: PatchRefused | None
) -> Problem:
    faults = [*parsed.faults, *(_as_sent(fault, parsed) for fault in repository_faults)]
    code = "invalid_patch" if faults else "plan_refused"
    members: dict[str, Any] = {"good": []}
    if refusal is not None:
        faults += [_as_sent(fault, parsed) for fault in refusal.faults]
        members["good"] = [asdict(hunk) for hunk in refusal.good[:_MAX_GOOD_HUNKS]]
        if refusal.base is not None:
            members["base"] = refusal.base
    return unprocessable(faults, code, **members)


def _as_sent(fault: Fault, parsed: Parsed) -> Fault:
    """The fault with its pointer into the body as it was sent, which may have a
    historical shape.
    """
    return replace(fault, pointer=parsed.lifted.pointer(fault.pointer))
