"""The settings as frozen values: each section of `runner.toml` with its
defaults and what it refuses.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Annotated, Literal, Protocol, TypeVar
from urllib.parse import urlsplit

import platformdirs
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

APP_NAME = "gpt-cursor-runner"
DEFAULT_PORT = 5555

# Files that run code, steer tools or change what git does: a patch that touches
# one waits for a person.
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


def _expanded(path: Path) -> Path:
    return path.expanduser()


def _existing(path: Path) -> Path:
    if not path.exists():
        raise ValueError(f"{path} is not there; correct the path, or leave it out")
    return path


class _Named(Protocol):
    @property
    def name(self) -> str: ...


_Several = TypeVar("_Several", bound=tuple[_Named, ...])


def _differing(several: _Several) -> _Several:
    names = [one.name for one in several]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"two of them are named '{twice}'; rename one")
    return several


def _web_address(url: str) -> str:
    if url and not url.startswith(("http://", "https://")):
        raise ValueError("must start with http:// or https://")
    if url and not urlsplit(url).hostname:
        raise ValueError("must name a host")
    return url.rstrip("/")


UserPath = Annotated[Path, AfterValidator(_expanded)]
WebAddress = Annotated[str, AfterValidator(_web_address)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Server(_Section):
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = DEFAULT_PORT
    public_url: WebAddress = ""
    max_body_bytes: Annotated[int, Field(ge=1024, le=64 * 1024 * 1024)] = 1024 * 1024
    # Lets everybody on this machine in without a key. Set by
    # `--insecure-no-auth`, on loopback only.
    insecure_no_auth: bool = False

    @model_validator(mode="after")
    def _open_on_loopback_only(self) -> Server:
        if self.insecure_no_auth and not self.is_loopback:
            raise ValueError(
                "insecure_no_auth is for loopback only; set host to 127.0.0.1, or make a key"
            )
        return self

    @property
    def url(self) -> str:
        """Where a program on this machine reaches the gateway."""
        if self.host == "0.0.0.0":  # noqa: S104  compared, not bound
            host = "127.0.0.1"
        elif self.host == "::":
            host = "[::1]"
        elif ":" in self.host and not self.host.startswith("["):
            host = f"[{self.host}]"
        else:
            host = self.host
        return f"http://{host}:{self.port}"

    @property
    def accepted_hosts(self) -> tuple[str, ...]:
        """The host names under which the gateway answers. A request under any
        other is a mistake, or a web page that rebound its own name.
        """
        names = ["localhost", "127.0.0.1", "[::1]", self.host]
        public_name = urlsplit(self.public_url).hostname
        if public_name:
            names.append(public_name)
        return tuple(names)

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
            raise ValueError(
                f"{path} is not a directory; name another, which is made when it is not there"
            )
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
            raise ValueError(
                f"{path} is not a directory; correct the path, or create the repository with `git"
                " init`"
            )
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
        return _differing(checks)


class OwnCheck(_Section):
    """A command of the owner's that says how something else on the machine does."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,35}$")]
    command: Annotated[tuple[str, ...], Field(min_length=1)]
    interval_seconds: Annotated[float, Field(ge=1, le=86_400)] = 60.0
    timeout_seconds: Annotated[float, Field(gt=0, le=3600)] = 10.0
    critical: bool = False


class Health(_Section):
    external_runner: str = ""
    tunnel_metrics: WebAddress = ""
    ping_url: WebAddress = ""
    ping_seconds: Annotated[float, Field(ge=1, le=86_400)] = 60.0
    ops_port: Annotated[int, Field(ge=0, le=65535)] | None = None
    check: tuple[OwnCheck, ...] = ()

    @field_validator("external_runner")
    @classmethod
    def _a_file_name(cls, name: str) -> str:
        if "/" in name or name != name.strip():
            raise ValueError("must be the bare file name of a script, like ghost-runner.js")
        return name

    @field_validator("check")
    @classmethod
    def _names_differ(cls, checks: tuple[OwnCheck, ...]) -> tuple[OwnCheck, ...]:
        return _differing(checks)


class Alerts(_Section):
    webhook_url: WebAddress = ""
    webhook_secret: str = ""
    apprise: tuple[str, ...] = ()
    minimum_severity: Literal["warning", "critical"] = "warning"
    remind_hours: Annotated[float, Field(gt=0, le=24 * 30)] = 4.0

    @field_validator("webhook_secret")
    @classmethod
    def _a_standard_secret(cls, secret: str) -> str:
        try:
            key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except binascii.Error:
            key = b""
        if secret and (not secret.startswith("whsec_") or not 24 <= len(key) <= 64):
            raise ValueError(
                "must be whsec_ and 24 to 64 bytes in base64, as `openssl rand -base64 32` prints"
                " them"
            )
        return secret

    @model_validator(mode="after")
    def _a_signed_webhook(self) -> Alerts:
        if self.webhook_url and not self.webhook_secret:
            raise ValueError(
                "webhook_url needs a webhook_secret, or who receives it could not trust it"
            )
        return self


class Config(BaseSettings):
    """Every setting, read once at the start of a process and never changed
    after.
    """

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix="GCR_",
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    server: Server = Server()
    state: State = Field(default_factory=State)
    health: Health = Health()
    alerts: Alerts = Alerts()
    repository: tuple[Repository, ...] = ()

    @field_validator("repository")
    @classmethod
    def _repository_names_differ(
        cls, repositories: tuple[Repository, ...]
    ) -> tuple[Repository, ...]:
        return _differing(repositories)

    @property
    def ops_port(self) -> int:
        """Where the small listener for operators is; 0 when there is none."""
        return (
            self.server.port % 65535 + 1 if self.health.ops_port is None else self.health.ops_port
        )

    def repository_named(self, name: str | None) -> Repository | None:
        """The repository of that name; without a name the only one there is."""
        if name is None:
            return self.repository[0] if len(self.repository) == 1 else None
        return next((one for one in self.repository if one.name == name), None)
