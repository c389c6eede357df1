"""Config to the machine that landing needs: its programs, disk and sandbox."""

from __future__ import annotations

from gpt_cursor_runner.config import search_path
from gpt_cursor_runner.config.settings import Settings
from gpt_cursor_runner.landing.readiness import Machine
from gpt_cursor_runner.landing.sandbox.choosing import Proof
from gpt_cursor_runner.landing.sandbox.proving import ProvenSandbox


def build_machine(settings: Settings) -> Machine:
    """The machine with the limits of the sandbox that are in effect."""
    state = settings.config.state
    proven = ProvenSandbox(search_path(), settings.config.sandbox, state.trials_dir)

    def proof() -> Proof:
        nonlocal proven
        limits = settings.config.sandbox
        if limits != proven.limits:
            proven = ProvenSandbox(search_path(), limits, state.trials_dir)
        return proven.proof()

    return Machine(search_path(), state.dir, proof)
