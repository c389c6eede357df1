"""The answer of `gcr init`: what it wrote and why, and the next command."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpt_cursor_runner.cli.settings_text import FirstSettings
from gpt_cursor_runner.cli.trying import Attempt, command_line
from gpt_cursor_runner.landing.sandbox.choosing import Proof

_EXAMPLE_PATCH = (
    '{"id": "hello-1", "title": "Say hello", "changes": '
    '[{"type": "upsert", "path": "HELLO.md", "contents": "Hello\\n"}]}'
)


@dataclass(frozen=True)
class InitReport:
    path: Path
    key: str
    url: str
    settings: FirstSettings
    proof: Proof
    attempts: Sequence[Attempt]
    is_tried: bool
    refused_variables: Sequence[str] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "created": True,
            "config": str(self.path),
            "key": self.key,
            "url": self.url,
            "repository": str(self.settings.repository),
            "sandbox": {
                "demand": self.settings.sandbox,
                "code": self.proof.code,
                "why": self.proof.why,
                "next_step": self._sandbox_remedy(),
            },
            "checks": [check.name for check in self.settings.checks],
            "tried": [attempt.to_json() for attempt in self.attempts],
            "worked": self._worked() is not None,
            "refused_variables": list(self.refused_variables),
            "next_command": self._next_command(),
        }

    def lines(self) -> list[str]:
        return [
            f"settings  {self.path} (readable by you alone)",
            *self._checks(),
            *self._sandbox(),
            *self._refused(),
            f"key       {self.key}",
            "          shown once; scopes submit and read. Give it to the AI that sends patches:",
            "",
            f"  curl -X POST {self.url}/webhook \\",
            f"    -H 'Authorization: Bearer {self.key}' -H 'Content-Type: application/json' \\",
            f"    -d '{_EXAMPLE_PATCH}'",
            "",
            f"next      {self._next_command()}",
        ]

    def _worked(self) -> Attempt | None:
        if self.attempts and self.attempts[-1].worked:
            return self.attempts[-1]
        return None

    def _checks(self) -> Iterator[str]:
        yield from self._tried()
        for check in self.settings.checks:
            yield f"checks    {check.name}: {command_line(check.command)}"
        if not self.settings.checks:
            yield f"note      no checks yet: patches land unchecked. {self._why_no_checks()}"
        elif self.attempts and self._worked() is None:
            yield "note      the checks fail on the branch as it is, so that no patch can land"

    def _tried(self) -> Iterator[str]:
        for attempt in self.attempts:
            if attempt.failure is not None:
                yield f"tried     {_name(attempt)}: {attempt.failure.reason}"
        worked = self._worked()
        if worked is not None:
            yield f"works     {_name(worked)}, in {worked.seconds:.0f} s"
            for test in worked.left_out:
                yield f"          left out, since it fails on the branch: {test}"

    def _why_no_checks(self) -> str:
        if not self.is_tried:
            return "None were tried."
        if not self._can_try():
            return "None were tried, because no sandbox works here."
        if self.attempts:
            return "None of those tried worked."
        return "No build file of a known kind was found."

    def _sandbox(self) -> Iterator[str]:
        demand = self.settings.sandbox
        if demand == "none":
            yield "sandbox   none, as you asked: checks run unconfined; each report names it"
        elif self.proof.code == "works":
            yield f"sandbox   {demand}; bubblewrap works here"
        elif demand == "required":
            yield f"sandbox   required, and none works here: {self.proof.why}. Checks wait for it."
            yield f"          {self._sandbox_remedy()}"
        else:
            yield f"sandbox   best, and none works here: {self.proof.why}. Checks run unconfined,"
            yield "          and each report names it"

    def _refused(self) -> Iterator[str]:
        for name in self.refused_variables:
            yield f"note      {name} holds a password, so it was not copied into the settings;"
            yield "          setup commands run without it"

    def _sandbox_remedy(self) -> str:
        if self.proof.code == "works" or self.settings.sandbox == "none":
            return ""
        return self.proof.next_step

    def _can_try(self) -> bool:
        return self.settings.sandbox != "required" or self.proof.code == "works"

    def _next_command(self) -> str:
        if self.settings.checks and (self._worked() is not None or not self.attempts):
            return "gcr up"
        again = f"rm {shlex.quote(str(self.path))} && gcr init"
        if not self._can_try():
            return f"{again}, when the sandbox works"
        return (
            f"add a check to {self.path.name} (docs/recipes.md) and try it with"
            " gcr doctor --checks; then gcr up"
        )


def _name(attempt: Attempt) -> str:
    return f"{attempt.proposal.ecosystem} {attempt.proposal.title}".strip()
