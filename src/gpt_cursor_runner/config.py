"""The only reader of settings: `runner.toml` and the `GCR_…` environment become one frozen Config, or a refusal."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import platformdirs
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError

CONFIG_NAME = "runner.toml"
APP_NAME = "gpt-cursor-runner"
DEFAULT_PORT = 5555
_OTHER_VARIABLES = ("GCR_CONFIG", "GCR_KEY")

# Files that run code, steer tools or change what git does: a patch that touches one waits for a person.
DEFAULT_PROTECTED = (
    ".github/**",
    ".gitlab-ci.yml",
    ".circleci/**",
    ".pre-commit-config.yaml",
    "**/.gitattributes",
    "**/.gitmodules",
    "**/.envrc",
    "**/conftest.py",
    ".vscode/**",
    ".cursor/**",
    ".claude/**",
    ".devcontainer/**",
    "**/AGENTS.md",
    "**/CLAUDE.md",
    "Makefile",
    "runner.toml",
)


class ConfigRefused(Exception):
    """The configuration cannot be used; the message names each key and its fix."""


def _expanded(path: Path) -> Path:
    return path.expanduser()


def _existing(path: Path) -> Path:
    if not path.exists():
        raise ValueError(f"{path} is not there; correct the path, or leave it out")
    return path


def _said_twice(names: Iterable[str]) -> str | None:
    """The first name that comes a second time."""
    seen: set[str] = set()
    return next((name for name in names if name in seen or seen.add(name)), None)  # type: ignore[func-returns-value]


UserPath = Annotated[Path, AfterValidator(_expanded)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Server(_Section):
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = DEFAULT_PORT
    public_url: str = ""
    max_body_bytes: Annotated[int, Field(ge=1024, le=64 * 1024 * 1024)] = 1024 * 1024
    # Lets everybody on this machine in without a key. Set by `--insecure-no-auth`, on loopback only.
    insecure_no_auth: bool = False

    @model_validator(mode="after")
    def _open_on_loopback_only(self) -> Server:
        if self.insecure_no_auth and not self.is_loopback:
            raise ValueError("insecure_no_auth is for loopback only; set host to 127.0.0.1, or make a key")
        return self

    @field_validator("public_url")
    @classmethod
    def _a_web_address(cls, url: str) -> str:
        if url and not url.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        return url.rstrip("/")

    @property
    def url(self) -> str:
        """Where a program on this machine reaches the gateway."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)  # noqa: S104  compared, not bound
        return f"http://{f'[{host}]' if ':' in host and not host.startswith('[') else host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        return self.host in ("127.0.0.1", "::1", "localhost")


class State(_Section):
    dir: UserPath = Field(default_factory=lambda: Path(platformdirs.user_state_dir(APP_NAME)))
    database: str = "sqlite"
    log_to_file: bool = False

    @field_validator("dir")
    @classmethod
    def _a_directory_or_nothing_yet(cls, path: Path) -> Path:
        if path.exists() and not path.is_dir():
            raise ValueError(f"{path} is not a directory; name another, which is made when it is not there")
        return path

    @field_validator("database")
    @classmethod
    def _known_database(cls, database: str) -> str:
        if database != "sqlite":
            raise ValueError("only 'sqlite' can be served by this version")
        return database

    @property
    def patches_dir(self) -> Path:
        """One folder of evidence per patch."""
        return self.dir / "patches"

    @property
    def workspaces_dir(self) -> Path:
        return self.dir / "workspaces"

    @property
    def logs_dir(self) -> Path:
        return self.dir / "logs"

    def log_file(self, process: str) -> Path | None:
        """Where a process logs; None is standard error."""
        return self.logs_dir / f"{process}.log" if self.log_to_file else None


class Check(_Section):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    command: Annotated[tuple[str, ...], Field(min_length=1)]
    timeout_seconds: Annotated[float, Field(gt=0, le=86_400)] = 600.0


class Repository(_Section):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
    path: UserPath
    branch: str = "main"
    checks: tuple[Check, ...] = ()
    approval: Literal["never", "protected", "always"] = "protected"
    protected: tuple[str, ...] = DEFAULT_PROTECTED
    sandbox: Literal["required", "best", "none"] = "required"
    sandbox_read_only: tuple[Annotated[UserPath, AfterValidator(_existing)], ...] = ()
    tag: bool = True
    push: str = ""

    @field_validator("path")
    @classmethod
    def _a_git_repository(cls, path: Path) -> Path:
        if not path.is_dir():
            raise ValueError(f"{path} is not a directory; correct the path, or create the repository with `git init`")
        return path.resolve()

    @field_validator("branch")
    @classmethod
    def _a_branch_name(cls, branch: str) -> str:
        if not branch or branch.startswith(("-", "refs/")) or branch.split() != [branch]:
            raise ValueError("must be a plain branch name like main")
        return branch

    @field_validator("push")
    @classmethod
    def _a_remote_name(cls, remote: str) -> str:
        if remote.startswith("-") or remote.split() != [remote][: bool(remote)]:
            raise ValueError("must be the name of a remote, like origin, or empty")
        return remote

    @field_validator("checks")
    @classmethod
    def _check_names_differ(cls, checks: tuple[Check, ...]) -> tuple[Check, ...]:
        twice = _said_twice(check.name for check in checks)
        if twice is not None:
            raise ValueError(f"two of them are named '{twice}'; rename one")
        return checks


class Config(BaseSettings):
    """Every setting, read once at the start of a process and never changed after."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix="GCR_",
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    server: Server = Server()
    state: State = Field(default_factory=State)
    repository: tuple[Repository, ...] = ()

    @field_validator("repository")
    @classmethod
    def _repository_names_differ(cls, repositories: tuple[Repository, ...]) -> tuple[Repository, ...]:
        twice = _said_twice(one.name for one in repositories)
        if twice is not None:
            raise ValueError(f"two of them are named '{twice}'; rename one")
        return repositories

    def repository_named(self, name: str | None) -> Repository | None:
        """The repository of that name; without a name the only one there is."""
        if name is None:
            return self.repository[0] if len(self.repository) == 1 else None
        return next((one for one in self.repository if one.name == name), None)


def find_config(given: str | Path | None = None, environment: Mapping[str, str] = os.environ) -> Path | None:
    """The settings file: the one given, `GCR_CONFIG`, the working directory's, the user's; None when there is none.

    Raises ConfigRefused when a file was named and is not there.
    """
    named = given or environment.get("GCR_CONFIG")
    if named:
        path = Path(named).expanduser().resolve()
        if not path.is_file():
            raise ConfigRefused(f"{path}: there is no such settings file. Create it with `gcr init --config {path}`.")
        return path
    homes = (Path.cwd(), Path(platformdirs.user_config_dir(APP_NAME)))
    return next((home / CONFIG_NAME for home in homes if (home / CONFIG_NAME).is_file()), None)


def load_config(path: Path | None) -> Config:
    """Read the file, then the environment over it; raise ConfigRefused naming every key that is wrong."""
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
    """pydantic-settings passes over a variable that fits no section; a misspelt setting would go unnoticed."""
    sections = tuple(f"GCR_{name.upper()}" for name in Config.model_fields)
    known = (*_OTHER_VARIABLES, *sections)
    for name in sorted(os.environ):
        if name.startswith("GCR_") and name.split("__")[0] not in known:
            fix = "unknown variable; unset it, or spell it like GCR_SERVER__PORT"
            raise ConfigRefused(f"{where} cannot be used:\n  {name}: {fix}")


def _lines(invalid: ValidationError | SettingsError) -> str:
    if isinstance(invalid, SettingsError):  # a variable that should hold JSON and does not; the message names it
        return f"  {invalid}"
    return "\n".join(f"  {_key(error['loc'])}: {_sentence(error)}" for error in invalid.errors(include_url=False))


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


def export(config_path: Path | None, insecure_no_auth: bool = False, log_to_file: bool = False) -> None:
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
