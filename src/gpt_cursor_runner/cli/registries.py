"""Passes the user's package registries to the setup commands that `gcr init`
writes: a sandboxed command reads neither the user's environment nor files.
"""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

from gpt_cursor_runner.cli.ecosystems.project import Proposal
from gpt_cursor_runner.config import registry_variables, search_path
from gpt_cursor_runner.landing.sandbox.etc import SHOWN
from gpt_cursor_runner.landing.sandbox.tools import SYSTEM_DIRECTORIES
from gpt_cursor_runner.system import processes

_PIP_SECONDS = 30.0
_PIP_SETTING = re.compile(r"^global\.([a-z-]+)=(.*)$", re.MULTILINE)
_PIP_NAMES = ("index-url", "extra-index-url", "find-links", "no-index", "trusted-host", "cert")
# Other variables, of certificates and proxies, are for every ecosystem.
_PREFIXES = {
    "Python": ("PIP_", "UV_"),
    "Node": ("npm_config_", "NPM_CONFIG_", "YARN_", "NODE_"),
    "Go": ("GO",),
    "Rust": ("CARGO_",),
}


@dataclass(frozen=True)
class Registries:
    """Variables for package managers. `refused` are the names of those that
    hold a password, which never goes into the settings.
    """

    variables: Mapping[str, str]
    refused: tuple[str, ...] = ()

    @classmethod
    def of_user(cls) -> Self:
        """From the environment, and what pip reads from its files."""
        return cls.of_variables(_pip_settings() | registry_variables())

    @classmethod
    def of_variables(cls, variables: Mapping[str, str]) -> Self:
        refused = [name for name, value in variables.items() if _holds_password(value)]
        allowed = {name: value for name, value in variables.items() if name not in refused}
        return cls(allowed, tuple(refused))

    def applied_to(self, proposal: Proposal) -> Proposal:
        """The proposal with these variables in the setup commands that use the
        network, and the directories that they name shown.
        """
        variables = self._for_ecosystem(proposal.ecosystem)
        setups = []
        for setup in proposal.setup:
            if setup.network == "host":
                environment = {**variables, **setup.environment}
                setup = setup.model_copy(update={"environment": environment})  # noqa: PLW2901  the same setup
            setups.append(setup)
        if tuple(setups) == proposal.setup:
            return proposal
        shown = [path for value in variables.values() for path in _local_paths(value)]
        return replace(proposal, setup=tuple(setups), shown=tuple(dict.fromkeys(shown)))

    def _for_ecosystem(self, ecosystem: str) -> dict[str, str]:
        own = _PREFIXES.get(ecosystem, ())
        others = tuple(
            prefix
            for name, prefixes in _PREFIXES.items()
            for prefix in prefixes
            if name != ecosystem
        )
        variables = {}
        for name, value in self.variables.items():
            if name.startswith(own) or not name.startswith(others):
                variables[name] = value
        return variables


def _pip_settings() -> dict[str, str]:
    python = shutil.which("python3", path=search_path())
    if python is None:
        return {}
    command = [python, "-m", "pip", "config", "list"]
    with suppress(OSError, processes.DeadlinePassed):
        listing = processes.run(command, _PIP_SECONDS).stdout.decode(errors="replace")
        return pip_variables(listing)
    return {}


def pip_variables(listing: str) -> dict[str, str]:
    """The variables for the settings that `pip config list` prints."""
    variables = {}
    for name, value in _PIP_SETTING.findall(listing):
        if name in _PIP_NAMES:
            with suppress(ValueError, SyntaxError):
                words = str(ast.literal_eval(value)).split()
                variables[f"PIP_{name.replace('-', '_').upper()}"] = " ".join(words)
    return variables


def _holds_password(value: str) -> bool:
    # A token may stand in the place of the user's name.
    return any("@" in urlsplit(word).netloc for word in re.split(r"[\s,|]+", value))


def _local_paths(value: str) -> Iterator[str]:
    """The files and directories that a value names, which the sandbox would not
    show.
    """
    for word in value.split():
        name = word
        if word.startswith("file://"):
            name = unquote(urlsplit(word).path)
        path = Path(name)
        if path.is_absolute() and path.exists() and not _is_shown(path):
            yield str(path)


def _is_shown(path: Path) -> bool:
    return any(path.is_relative_to(shown) for shown in (*SYSTEM_DIRECTORIES, *SHOWN))
