"""The steps after the branch has moved: count the change, tag, push.

Each step may be repeated. None can undo the landing or fail it: an error is
recorded in the outcome.
"""

from __future__ import annotations

from dataclasses import replace

import structlog

from gpt_cursor_runner.config import Repository
from gpt_cursor_runner.landing import landing
from gpt_cursor_runner.landing.git import Git, GitFailed
from gpt_cursor_runner.landing.packing import pack_if_many
from gpt_cursor_runner.ledger.patches import StoredPatch
from gpt_cursor_runner.patch.faults import WorldFailed
from gpt_cursor_runner.patch.landed import DiffSummary, Landed, Push

log = structlog.get_logger()

# The errors of git, the disk and the remote, while and after the branch moves.
LANDING_ERRORS = (GitFailed, WorldFailed, OSError)
# How many files and hunks an event lists; their counts are not cut.
MAX_LISTED = 200
_MAX_REASON_CHARS = 500


def follow_up(landed: Landed, git: Git, repository: Repository, claim: StoredPatch) -> Landed:
    """Run the steps that the owner configured; return the outcome with their
    facts.
    """
    landed = _count_change(landed, git)
    # The tag first: it is pushed with the branch, both or neither.
    if repository.tag:
        landed = _tag(landed, git, claim)
    if repository.push:
        landed = _push(landed, git, repository.push)
    _pack(git)
    return landed


def summarize(git: Git, base: str, commit: str) -> DiffSummary:
    """Count the change between two commits."""
    stat = landing.diff_stat(git, base, commit)
    return DiffSummary(stat.files[:MAX_LISTED], len(stat.files), stat.insertions, stat.deletions)


def _count_change(landed: Landed, git: Git) -> Landed:
    try:
        change = summarize(git, landed.landing.parent, landed.landing.commit)
    except LANDING_ERRORS as error:
        return replace(landed, change_unknown=short_reason(error))
    return replace(landed, change=change)


def _tag(landed: Landed, git: Git, claim: StoredPatch) -> Landed:
    commit = landed.landing.commit
    try:
        tagged = landing.tag(git, claim.id, commit, claim.title, claim.accepted_at)
    except LANDING_ERRORS as error:
        return replace(landed, tag_failed=short_reason(error))
    if not tagged:
        return replace(landed, tag_taken=claim.id)
    return replace(landed, tag=claim.id)


def _push(landed: Landed, git: Git, remote: str) -> Landed:
    try:
        landing.push(git, remote, landed.branch, landed.landing.commit, landed.tag)
    except LANDING_ERRORS as error:
        return replace(landed, push=Push(remote, pushed=False, reason=short_reason(error)))
    return replace(landed, push=Push(remote, pushed=True))


def _pack(git: Git) -> None:
    try:
        pack_if_many(git)
    except LANDING_ERRORS as error:
        log.warning("objects_not_packed", reason=short_reason(error))


def short_reason(error: Exception) -> str:
    """The message of an error, cut to a length that fits an event."""
    return str(error)[:_MAX_REASON_CHARS]
