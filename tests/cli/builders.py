"""A user at a terminal: commands run inside the test's process."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from click.testing import CliRunner, Result

from gpt_cursor_runner.cli import main
from tests.running import Installation


@dataclass(frozen=True)
class Terminal:
    installation: Installation

    def type(self, *words: str, stdin: bytes | None = None, configured: bool = True) -> Result:
        """Run a command; with `configured`, on the installation's settings."""
        arguments = list(words)
        if configured:
            arguments += ["--config", str(self.installation.config)]
        return CliRunner().invoke(main, arguments, input=stdin, prog_name="gcr")

    def json(self, *words: str, code: int = 0, **named: Any) -> dict[str, Any]:
        """The JSON of a command that ends with this code and prints nothing
        else on standard output.
        """
        result = self.type(*words, "--json", **named)
        assert result.exit_code == code, result.output
        body: dict[str, Any] = json.loads(result.stdout)
        assert "schema" in body
        return body


def refused(result: Result, code: int) -> str:
    """The standard error of a failed command, after a check of its form: the
    exit code, nothing on standard output, a next command.
    """
    assert result.exit_code == code, result.output
    assert result.stdout == "" and "Traceback" not in result.output
    assert result.stderr.rstrip().splitlines()[-1].startswith("next: "), result.stderr
    assert "\x1b" not in result.output
    return result.stderr
