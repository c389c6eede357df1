"""Checks that commands of the owner can be confined, by trying the sandbox."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gpt_cursor_runner.config import Repository
from gpt_cursor_runner.health.monitor.codes import Code, CodeTable
from gpt_cursor_runner.health.monitor.model import CheckStatus, Criticality, ProbeSpec, Reading
from gpt_cursor_runner.landing.sandbox.canary import SECONDS
from gpt_cursor_runner.landing.sandbox.choosing import Proof

_DOCTOR = "Run `gcr doctor`: it tries the sandbox and names the remedy."


class SandboxProbe:
    """`proof` tries the sandbox when its last result is too old; `repositories`
    returns those that are configured.
    """

    spec = ProbeSpec(
        "sandbox",
        "sandbox",
        Criticality.IMPAIRING,
        interval_seconds=15.0,
        # An overlay and a copy are tried one after the other.
        deadline_seconds=2 * SECONDS + 10.0,
    )
    codes = CodeTable(
        ok=Code(CheckStatus.OK, fact=True),
        not_installed=Code(
            CheckStatus.FAIL, "Install the package bubblewrap; patches wait until then.", fact=True
        ),
        unsupported=Code(
            CheckStatus.FAIL, "Use a machine with an x86-64 or ARM64 processor.", fact=True
        ),
        no_user=Code(
            CheckStatus.FAIL,
            "Create the user of sandbox.user with `useradd --system`; patches wait until then.",
            fact=True,
        ),
        broken=Code(CheckStatus.FAIL, _DOCTOR, fact=True),
        weaker=Code(CheckStatus.WARN, _DOCTOR, fact=True),
        no_answer=Code(CheckStatus.UNKNOWN, "See what keeps this machine busy."),
    )

    def __init__(
        self, proof: Callable[[], Proof], repositories: Callable[[], Iterable[Repository]]
    ) -> None:
        self._proof = proof
        self._repositories = repositories

    def read(self) -> Reading:
        """Try the sandbox, or repeat its last result."""
        demands = {repository.sandbox for repository in self._repositories()}
        if demands <= {"none"}:
            return self.codes.reading("ok", "no repository asks for a sandbox")
        proof = self._proof()
        if proof.code == "works":
            return self.codes.reading("ok")
        if proof.code == "unknown":
            return self.codes.reading("no_answer", proof.why)
        if "required" not in demands:
            return self.codes.reading("weaker", f"commands run without a sandbox: {proof.why}")
        return self.codes.reading(proof.code, proof.why)
