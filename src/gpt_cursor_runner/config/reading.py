"""Finding the settings file, and reading it with the `GCR_…` environment over
it.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import platformdirs
from pydantic import ValidationError
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource
from pydantic_settings.exceptions import SettingsError

from gpt_cursor_runner.config.model import APP_NAME, Config

CONFIG_NAME = "runner.toml"
_OTHER_VARIABLES = ("GCR_CONFIG", "GCR_KEY")


class ConfigRefused(Exception):
    """The configuration cannot be used; the message names each key and its fix."""


def find_config(
    given: str | Path | None = None, environment: Mapping[str, str] = os.environ
) -> Path | None:
    """The settings file: the one given, `GCR_CONFIG`, the working directory's,
    the user's; None when there is none.

    Raises ConfigRefused when a file was named and is not there.
    """
    named = given or environment.get("GCR_CONFIG")
    if named:
        path = Path(named).expanduser().resolve()
        if not path.is_file():
            raise ConfigRefused(
                f"{path}: there is no such settings file. Create it with `gcr init --config"
                f" {path}`."
            )
        return path
    homes = (Path.cwd(), Path(platformdirs.user_config_dir(APP_NAME)))
    return next((home / CONFIG_NAME for home in homes if (home / CONFIG_NAME).is_file()), None)


def load_config(path: Path | None) -> Config:
    """Read the file, then the environment over it; raise ConfigRefused naming
    every key that is wrong.
    """
    where = str(path) if path else "the environment"
    _refuse_stray_variables(where)
    written = _read(path) if path else {}

    class FromHere(Config):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            *sources: PydanticBaseSettingsSource,
            **named: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return named["env_settings"], InitSettingsSource(settings_cls, written)

    try:
        return FromHere()
    except (ValidationError, SettingsError) as invalid:
        raise ConfigRefused(f"{where} cannot be used:\n{_lines(invalid)}") from invalid


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as broken:
        raise ConfigRefused(f"{path}: not TOML: {broken}. Correct it there.") from broken
    except OSError as unreadable:
        raise ConfigRefused(
            f"{path}: cannot be read: {unreadable.strerror}. Name a file with --config."
        ) from unreadable


def _refuse_stray_variables(where: str) -> None:
    """pydantic-settings passes over a variable that fits no section; a misspelt
    setting would go unnoticed.
    """
    sections = tuple(f"GCR_{name.upper()}" for name in Config.model_fields)
    known = (*_OTHER_VARIABLES, *sections)
    for name in sorted(os.environ):
        if name.startswith("GCR_") and name.split("__")[0] not in known:
            fix = "unknown variable; unset it, or spell it like GCR_SERVER__PORT"
            raise ConfigRefused(f"{where} cannot be used:\n  {name}: {fix}")


def _lines(invalid: ValidationError | SettingsError) -> str:
    if isinstance(
        invalid, SettingsError
    ):  # a variable that should hold JSON and does not; the message names it
        return f"  {invalid}"
    return "\n".join(
        f"  {_key(error['loc'])}: {_sentence(error)}" for error in invalid.errors(include_url=False)
    )


def _key(location: tuple[int | str, ...]) -> str:
    key = ""
    for part in location:
        key += f"[{part}]" if isinstance(part, int) else f".{part}" if key else part
    return key or "the file"


def _sentence(error: Any) -> str:  # noqa: ANN401  pydantic's ErrorDetails
    if error["type"] == "extra_forbidden":
        return "unknown key; remove it or correct its spelling"
    if error["type"] == "missing":
        return "missing; add it"
    return str(error["msg"]).removeprefix("Value error, ")


def export(
    config_path: Path | None, insecure_no_auth: bool = False, log_to_file: bool = False
) -> None:
    """Let the processes that this one starts find the same settings, and these."""
    if config_path is not None:
        os.environ["GCR_CONFIG"] = str(config_path)
    if insecure_no_auth:
        os.environ["GCR_SERVER__INSECURE_NO_AUTH"] = "true"
    if log_to_file:
        os.environ["GCR_STATE__LOG_TO_FILE"] = "true"


def search_path() -> str:
    """Where programs are looked for: git, bwrap and what the checks run."""
    return os.environ.get("PATH", os.defpath)


def client_key() -> str | None:
    """The key with which the commands speak to a gateway, when the user set one."""
    return os.environ.get("GCR_KEY") or None


def environment_of_checks() -> dict[str, str]:
    """What of the environment the owner's own health checks may see."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}


def notify_socket() -> str | None:
    """Where systemd wants to hear of the service; None when it does not."""
    return os.environ.get("NOTIFY_SOCKET") or None


def watchdog_seconds() -> float | None:
    """How long systemd waits for a sign of life; None when it does not watch."""
    said = os.environ.get("WATCHDOG_USEC", "")
    return int(said) / 1e6 if said.isdigit() and int(said) > 0 else None
