from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gpt_cursor_runner.config import Repository
from gpt_cursor_runner.health.monitor.model import CheckStatus
from gpt_cursor_runner.health.probes.sandbox import SandboxProbe
from gpt_cursor_runner.landing.sandbox.choosing import Proof
from gpt_cursor_runner.landing.sandbox.proving import (
    PROVEN_SECONDS,
    UNPROVEN_SECONDS,
    ProvenSandbox,
)
from tests.sandboxes import LIMITS, a_repository, make_sandbox

WORKS = Proof("works", sandbox=make_sandbox("none"))
MISSING = Proof("not_installed", "bubblewrap is not installed")
SLOW = Proof("unknown", "bubblewrap did not end")


@pytest.mark.parametrize(
    ("demands", "proof", "status", "code"),
    [
        (["required"], WORKS, CheckStatus.OK, "ok"),
        (["none"], MISSING, CheckStatus.OK, "ok"),
        (["best", "none"], MISSING, CheckStatus.WARN, "weaker"),
        (["best", "required"], MISSING, CheckStatus.FAIL, "not_installed"),
        (["best"], SLOW, CheckStatus.UNKNOWN, "no_answer"),
        (["required"], Proof("no_user", "no user"), CheckStatus.FAIL, "no_user"),
    ],
)
def test_the_reading_follows_the_proof_and_the_demand(
    demands: list[str], proof: Proof, status: CheckStatus, code: str
) -> None:
    repositories: list[Repository] = [a_repository(demand) for demand in demands]
    reading = SandboxProbe(lambda: proof, lambda: repositories).read()
    assert (reading.status, reading.code) == (status, code)
    assert reading.remedy or status is CheckStatus.OK


class Trials:
    """The results of trials to come, and how many were made."""

    def __init__(self, tmp_path: Path, *proofs: Proof) -> None:
        self.proofs = list(proofs)
        self.now = 0.0
        self.proven = ProvenSandbox("", LIMITS, tmp_path, lambda: self.now, self.prove)

    def prove(self, *_: Any) -> Proof:
        return self.proofs.pop(0)


def test_a_proof_is_used_for_minutes_and_then_taken_again(tmp_path: Path) -> None:
    trials = Trials(tmp_path, WORKS, MISSING)
    assert trials.proven.proof() is WORKS
    trials.now = PROVEN_SECONDS - 1
    assert trials.proven.proof() is WORKS
    trials.now = PROVEN_SECONDS
    assert trials.proven.proof() is MISSING


def test_a_remedy_is_noticed_soon(tmp_path: Path) -> None:
    trials = Trials(tmp_path, MISSING, WORKS)
    assert trials.proven.proof() is MISSING
    trials.now = UNPROVEN_SECONDS
    assert trials.proven.proof() is WORKS


def test_a_slow_trial_does_not_replace_a_proof(tmp_path: Path) -> None:
    trials = Trials(tmp_path, WORKS, SLOW, WORKS)
    assert trials.proven.proof() is WORKS
    trials.now = PROVEN_SECONDS
    assert trials.proven.proof() is WORKS
    trials.now += UNPROVEN_SECONDS
    assert trials.proven.proof() is WORKS
    assert trials.proofs == []


def test_the_periods_are_those_that_the_documents_promise() -> None:
    assert (PROVEN_SECONDS, UNPROVEN_SECONDS) == (300.0, 15.0)
