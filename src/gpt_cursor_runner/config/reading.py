"""Finds the settings file and reads it, with the `GCR_…` environment over it.
The only module that reads the environment.
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

from gpt_cursor_runner.config.model import APP_NAME, CONFIG_NAME, Config

# Where package managers install from, and whom they trust.
_REGISTRY_VARIABLES = (
    *("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX"),
    *("PIP_TRUSTED_HOST", "PIP_CERT", "PIP_DEFAULT_TIMEOUT"),
    *("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL"),
    *("npm_config_registry", "NPM_CONFIG_REGISTRY", "npm_config_cafile", "YARN_REGISTRY"),
    *("YARN_NPM_REGISTRY_SERVER", "NODE_EXTRA_CA_CERTS"),
    *("GOPROXY", "GOSUMDB", "GONOSUMDB", "GOPRIVATE", "CARGO_HTTP_CAINFO", "CARGO_HTTP_PROXY"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
)
_LAST_VALID = "GCR_LAST_VALID"
_OTHER_VARIABLES = ("GCR_CONFIG", "GCR_KEY", _LAST_VALID)


class ConfigRefused(Exception):
    """The configuration cannot be used; the message names each key and its fix,
    on a line of its own.
    """

    @property
    def one_line(self) -> str:
        """The message without line breaks, for a table or a log."""
        return str(self).replace(":\n  ", ": ", 1).replace("\n  ", "; ")


def find_config(
    given: str | Path | None = None, environment: Mapping[str, str] = os.environ
) -> Path | None:
    """The first settings file of: the given one, `GCR_CONFIG`, the working
    directory's, the user's. None when there is none.

    Raises ConfigRefused when a file is named and does not exist.
    """
    named = given or environment.get("GCR_CONFIG")
    if named:
        return _named_file(Path(named).expanduser().resolve())
    for directory in (Path.cwd(), Path(platformdirs.user_config_dir(APP_NAME))):
        path = directory / CONFIG_NAME
        if path.is_file():
            return path
    return None


def load_config(path: Path | None) -> Config:
    """Read the file, then the environment over it; raise ConfigRefused naming
    every key that is wrong.
    """
    content = None
    if path is not None:
        content = read_config_file(path)
    return parse_config(content, path)


def read_config_file(path: Path) -> bytes:
    """The content of the file; raise ConfigRefused when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigRefused(
            f"{path}: cannot be read: {error.strerror}. Name a file with --config."
        ) from error


def parse_config(content: bytes | None, path: Path | None) -> Config:
    """The settings in the content of the file at `path`, and the environment
    over them; as `load_config`, without reading the file.
    """
    source = "the environment"
    settings: dict[str, Any] = {}
    if content is not None:
        source = str(path)
        settings = _parse_toml(content, source)
    _refuse_stray_variables(source)

    # A class for this one call: pydantic-settings takes its sources from a
    # method of the class, not from an argument.
    class FileConfig(Config):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            *sources: PydanticBaseSettingsSource,
            **named: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return named["env_settings"], InitSettingsSource(settings_cls, settings)

    try:
        return FileConfig()
    except SettingsError as error:
        # A variable that should hold JSON and does not; the message names it.
        raise ConfigRefused(f"{source} cannot be used:\n  {error}") from error
    except ValidationError as error:
        raise ConfigRefused(f"{source} cannot be used:\n{_faults(error)}") from error


def export(
    config_path: Path | None, insecure_no_auth: bool = False, log_to_file: bool = False
) -> None:
    """Pass the settings file and these settings to the processes that this one
    starts.
    """
    if config_path is not None:
        os.environ["GCR_CONFIG"] = str(config_path)
    if insecure_no_auth:
        os.environ["GCR_SERVER__INSECURE_NO_AUTH"] = "true"
    if log_to_file:
        os.environ["GCR_STATE__LOG_TO_FILE"] = "true"


def export_last_valid(path: Path) -> None:
    """Let the processes that this one starts keep a copy of the last valid
    settings file at `path`, and start with it while the file itself is invalid.
    """
    # A copy of an earlier run may be of another file.
    path.unlink(missing_ok=True)
    os.environ[_LAST_VALID] = str(path)


def last_valid_path() -> Path | None:
    """Where the last valid settings file is kept; None outside `gcr up`."""
    path = os.environ.get(_LAST_VALID)
    if not path:
        return None
    return Path(path)


def search_path() -> str:
    """The directories in which git, bwrap and the programs of checks are found."""
    return os.environ.get("PATH", os.defpath)


def client_key() -> str | None:
    """The key that the commands send to a gateway, if the user set one."""
    return os.environ.get("GCR_KEY") or None


def environment_of_checks() -> dict[str, str]:
    """The variables that the owner's health checks get; no key is among them."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}


def registry_variables() -> dict[str, str]:
    """The user's variables for package managers; they may hold passwords."""
    return {name: os.environ[name] for name in _REGISTRY_VARIABLES if os.environ.get(name)}


def notify_socket() -> str | None:
    """The socket on which systemd is notified; None outside a notify service."""
    return os.environ.get("NOTIFY_SOCKET") or None


def watchdog_seconds() -> float | None:
    """The interval within which systemd needs a sign of life; None without a
    watchdog.
    """
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    if not microseconds.isdigit() or int(microseconds) == 0:
        return None
    return int(microseconds) / 1e6


def _named_file(path: Path) -> Path:
    if not path.is_file():
        raise ConfigRefused(
            f"{path}: this settings file does not exist. Create it with `gcr init --config {path}`."
        )
    return path


def _parse_toml(content: bytes, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigRefused(f"{source}: not TOML: {error}. Correct the file.") from error


def _refuse_stray_variables(source: str) -> None:
    # pydantic-settings ignores a variable that fits no section, so a misspelt
    # setting would go unnoticed.
    sections = [f"GCR_{name.upper()}" for name in Config.model_fields]
    for name in sorted(os.environ):
        section = name.split("__")[0]
        if name.startswith("GCR_") and section not in (*_OTHER_VARIABLES, *sections):
            fix = "unknown variable; unset it, or spell it like GCR_SERVER__PORT"
            raise ConfigRefused(f"{source} cannot be used:\n  {name}: {fix}")


def _faults(invalid: ValidationError) -> str:
    """One line for each fault: the key and its fix."""
    lines = []
    for error in invalid.errors(include_url=False):
        lines.append(f"  {_key(error['loc'])}: {_message(error)}")
    return "\n".join(lines)


def _key(location: tuple[int | str, ...]) -> str:
    """A location of pydantic as it is written in TOML: `repository[0].path`."""
    key = ""
    for part in location:
        if isinstance(part, int):
            key += f"[{part}]"
        else:
            key += f".{part}"
    return key.removeprefix(".") or "the file"


def _message(error: Any) -> str:  # noqa: ANN401  pydantic's ErrorDetails
    if error["type"] == "extra_forbidden":
        return "unknown key; remove it or correct its spelling"
    if error["type"] == "missing":
        return "missing; add it"
    return str(error["msg"]).removeprefix("Value error, ")
