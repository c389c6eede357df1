"""Which repositories patches can land in now, remembered for some seconds.

Patches for a blocked repository stay in the queue until it is ready again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog

from gpt_cursor_runner.config import Repository
from gpt_cursor_runner.patch.faults import Fault
from gpt_cursor_runner.system.periodic import PeriodicThread

log = structlog.get_logger()

# An answer costs processes, so that a good one is used for this long. An attempt
# that fails asks anew.
GOOD_SECONDS = 60.0
# How soon a repository that is ready again is noticed.
BAD_SECONDS = 2.0
# Without a patch only the state of the runner depends on the answer.
_IDLE_SECONDS = 30.0
_TURN_SECONDS = 1.0
_MAX_MESSAGE_CHARS = 300
_JOIN_SECONDS = 10.0


@dataclass(frozen=True)
class _Answer:
    repository: Repository
    fault: Fault | None
    at: float


def _start_thread(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="readiness", daemon=True).start()


class Readiness:
    """Asks `obstacles` about each repository now and then, and before a claim
    when the last good answer is old. `answered` is called after each answer.

    Each question has a thread of its own: the answer about a
    repository on a dead disk takes seconds, which hold up no other.
    """

    def __init__(
        self,
        obstacles: Callable[[Repository], list[Fault]],
        answered: Callable[[], None],
        monotonic: Callable[[], float] = time.monotonic,
        start_thread: Callable[[Callable[[], None]], None] = _start_thread,
    ) -> None:
        self._obstacles = obstacles
        self._answered = answered
        self._start_thread = start_thread
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._repositories: dict[str, Repository] = {}
        self._answers: dict[str, _Answer] = {}
        self._asked: set[str] = set()
        self._thread = PeriodicThread("readiness", self._turn, _JOIN_SECONDS)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._thread.request_stop()

    def configure(self, repositories: Iterable[Repository]) -> None:
        """Replace the repositories. Answers about changed ones are forgotten."""
        with self._lock:
            self._repositories = {repository.name: repository for repository in repositories}
            for name, answer in list(self._answers.items()):
                if self._repositories.get(name) != answer.repository:
                    del self._answers[name]
        self._thread.wake()

    def is_ready(self, name: str) -> bool:
        """Whether patches for the repository may be claimed; False until the
        first answer. One that is not configured is left to the attempt, which
        reports it.
        """
        with self._lock:
            repository, answer = self._repositories.get(name), self._answers.get(name)
        if repository is None:
            return True
        if answer is not None and (answer.fault or self._age(answer) < GOOD_SECONDS):
            return answer.fault is None
        self._request(repository)
        return False

    def ask(self, repository: Repository) -> Fault | None:
        """Ask now: the first obstacle, or None."""
        fault = self._first_obstacle(repository)
        answer = _Answer(repository, fault, self._monotonic())
        with self._lock:
            # Settings that changed meanwhile may be about another repository.
            if self._repositories.get(repository.name) == repository:
                previous = self._answers.get(repository.name)
                self._answers[repository.name] = answer
                _log_change(previous, answer)
        return fault

    def blocked(self) -> dict[str, Fault]:
        """The blocked repositories by name, each with its first obstacle."""
        with self._lock:
            answers = dict(self._answers)
        return {name: answer.fault for name, answer in answers.items() if answer.fault}

    def are_all_blocked(self) -> bool:
        with self._lock:
            names = set(self._repositories)
        return bool(names) and names == set(self.blocked())

    def refresh(self) -> None:
        """Ask about the repositories whose answers are due again."""
        with self._lock:
            due = [each for each in self._repositories.values() if self._is_due(each.name)]
        for repository in due:
            self._request(repository)

    def _request(self, repository: Repository) -> None:
        with self._lock:
            if repository.name in self._asked:
                return
            self._asked.add(repository.name)
        self._start_thread(lambda: self._answer(repository))

    def _answer(self, repository: Repository) -> None:
        try:
            self.ask(repository)
        finally:
            with self._lock:
                self._asked.discard(repository.name)
            self._answered()

    def _first_obstacle(self, repository: Repository) -> Fault | None:
        try:
            faults = self._obstacles(repository)
        except Exception as error:  # one repository must not stop the others
            log.exception("readiness_failed", repository=repository.name)
            return Fault("internal", str(error)[:_MAX_MESSAGE_CHARS], "See the runner's log.")
        if not faults:
            return None
        return faults[0]

    def _turn(self) -> float:
        self.refresh()
        return _TURN_SECONDS

    def _is_due(self, name: str) -> bool:
        answer = self._answers.get(name)
        if answer is None:
            return True
        if answer.fault:
            return self._age(answer) >= BAD_SECONDS
        return self._age(answer) >= _IDLE_SECONDS

    def _age(self, answer: _Answer) -> float:
        return self._monotonic() - answer.at


def _log_change(previous: _Answer | None, answer: _Answer) -> None:
    was_blocked = previous is not None and previous.fault is not None
    name = answer.repository.name
    if answer.fault is not None and not was_blocked:
        log.warning("repository_blocked", repository=name, code=answer.fault.code)
    if answer.fault is None and was_blocked:
        log.info("repository_ready", repository=name)
