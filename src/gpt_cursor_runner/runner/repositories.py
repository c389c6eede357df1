"""The configured repositories, each with its git and its sandbox."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from gpt_cursor_runner.config import Repository
from gpt_cursor_runner.landing.checkouts import work_trees
from gpt_cursor_runner.landing.git import Git, GitFailed
from gpt_cursor_runner.landing.sandbox.choosing import Proof, sandbox_for
from gpt_cursor_runner.landing.sandbox.model import Sandbox
from gpt_cursor_runner.landing.sealing import sealed_ref
from gpt_cursor_runner.ledger.patches import StoredPatch
from gpt_cursor_runner.patch.faults import WorldFailed

log = structlog.get_logger()

_MAX_REASON_CHARS = 300


@dataclass
class Repositories:
    """Finds the git directory and the sandbox of a repository once, since each
    costs processes. Threads may share one.
    """

    configured: dict[str, Repository]
    search_path: str
    proof: Callable[[], Proof]
    _gits: dict[str, Git] = field(default_factory=dict)
    # The report of a patch follows its end soon: so many claims are enough to
    # delete no seal twice.
    _deleted: deque[tuple[str, int]] = field(default_factory=lambda: deque(maxlen=64))

    def get(self, name: str) -> Repository:
        """Raise WorldFailed when runner.toml has no repository of that name."""
        repository = self.configured.get(name)
        if repository is None:
            raise WorldFailed(
                "repository_unknown",
                f"runner.toml has no repository named {name}",
                "Register it again, then `gcr retry` the patch.",
            )
        return repository

    def git(self, repository: Repository) -> Git:
        """Raise WorldFailed when there is no git repository at its path."""
        if repository.name not in self._gits:
            self._gits[repository.name] = Git.at(repository.path, self.search_path)
        return self._gits[repository.name]

    def forget_git(self, name: str) -> None:
        """Find the git directory again at the next use: the owner may have
        moved it.
        """
        self._gits.pop(name, None)

    def sandbox(self, repository: Repository) -> Sandbox:
        """Raise WorldFailed when the owner requires one and none works."""
        trees = work_trees(self.git(repository))
        return sandbox_for(repository, self.proof(), self.search_path, trees)

    def delete_seal(self, stored: StoredPatch) -> None:
        """Delete the sealed ref of a patch that has ended. An error is logged
        only: the ref does little harm.
        """
        was_never_claimed = stored.token == 0
        if was_never_claimed or _claim_of(stored) in self._deleted:
            return
        if stored.repository not in self.configured:
            return
        try:
            git = self.git(self.configured[stored.repository])
            # Succeeds as well when there is no such ref (git 2.39).
            git.run("update-ref", "-d", sealed_ref(stored.id))
        except (GitFailed, WorldFailed, OSError) as error:
            reason = str(error)[:_MAX_REASON_CHARS]
            log.warning("seal_not_deleted", patch_id=stored.id, reason=reason)
            return
        self._deleted.append(_claim_of(stored))


def _claim_of(stored: StoredPatch) -> tuple[str, int]:
    return stored.id, stored.token
