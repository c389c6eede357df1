"""The settings as frozen values: each section of `runner.toml` with its
defaults. Every floor uses them as they are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from gpt_cursor_runner.config.fields import (
    BranchName,
    CachePath,
    DatabaseKind,
    ExistingPath,
    ProvidedPath,
    RemoteName,
    RepositoryPath,
    ScriptName,
    StatePath,
    VariableName,
    WebAddress,
    WebhookSecret,
    WorkspacePath,
    refuse_duplicate_names,
)

APP_NAME = "gpt-cursor-runner"
CONFIG_NAME = "runner.toml"
DEFAULT_PORT = 5555
LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")

Approval = Literal["never", "protected", "always"]
SandboxDemand = Literal["required", "best", "none"]
# "loopback" is an interface of the command's own; "host" the machine's network.
Network = Literal["none", "loopback", "host"]
AlertSeverity = Literal["warning", "critical"]

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
    CONFIG_NAME,
)


class _FrozenModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Server(_FrozenModel):
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = DEFAULT_PORT
    public_url: WebAddress = ""
    max_body_bytes: Annotated[int, Field(ge=1024, le=64 * 1024 * 1024)] = 1024 * 1024
    # Every program on this machine may send patches without a key. Set by
    # `--insecure-no-auth`.
    insecure_no_auth: bool = False

    @model_validator(mode="after")
    def _require_key_beyond_loopback(self) -> Server:
        if self.insecure_no_auth and not self.is_loopback:
            raise ValueError(
                "insecure_no_auth is allowed on loopback only; set host to 127.0.0.1, or create a"
                " key"
            )
        return self

    @property
    def url(self) -> str:
        """The gateway's address for programs on this machine."""
        # A server that listens on every address is called by its loopback one.
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104  compared, not bound
        if ":" in host and not host.startswith("["):
            host = f"[{host}]"
        return f"http://{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        return self.host in LOOPBACK_HOSTS

    @property
    def accepted_hosts(self) -> tuple[str, ...]:
        """The host names under which the gateway answers. A request under any
        other is a mistake, or a web page that rebound its own name.
        """
        names = [*LOOPBACK_HOSTS, self.host]
        public_name = urlsplit(self.public_url).hostname
        if public_name:
            names.append(public_name)
        return tuple(names)


class State(_FrozenModel):
    dir: StatePath = Field(default_factory=lambda: Path(platformdirs.user_state_dir(APP_NAME)))
    database: DatabaseKind = "sqlite"
    log_to_file: bool = False

    @property
    def patches_dir(self) -> Path:
        """One folder of evidence per patch."""
        return self.dir / "patches"

    @property
    def workspaces_dir(self) -> Path:
        return self.dir / "workspaces"

    @property
    def trials_dir(self) -> Path:
        """Workspaces in which the sandbox is tried, and checks by `gcr doctor`.
        Not beside those of the runner, which removes what it finds there.
        """
        return self.dir / "trials"

    @property
    def trees_dir(self) -> Path:
        """One work tree per repository and branch, over which workspaces lie."""
        return self.dir / "trees"

    @property
    def layers_dir(self) -> Path:
        """The directories that setup commands made."""
        return self.dir / "layers"

    @property
    def caches_dir(self) -> Path:
        return self.dir / "caches"

    @property
    def last_valid_settings(self) -> Path:
        """A copy of the settings file, for a process that `gcr up` restarts while
        the file is invalid.
        """
        return self.dir / "last-valid.toml"

    @property
    def logs_dir(self) -> Path:
        return self.dir / "logs"

    def log_file(self, process: str) -> Path | None:
        """The log of a process; None stands for standard error."""
        if not self.log_to_file:
            return None
        return self.logs_dir / f"{process}.log"


class SandboxLimits(_FrozenModel):
    """The section `[sandbox]`: how much of the machine one command of a
    repository may use.
    """

    # Commands of a runner that root started run as this user.
    user: str = "gpt-cursor-runner"
    memory_mb: Annotated[int, Field(ge=64)] = 4096
    processes: Annotated[int, Field(ge=8)] = 1024
    file_mb: Annotated[int, Field(ge=1)] = 2048
    workspace_mb: Annotated[int, Field(ge=1)] = 8192
    tmp_mb: Annotated[int, Field(ge=1)] = 1024


class SandboxedCommand(_FrozenModel):
    """A command of the owner that runs on the sealed tree."""

    command: Annotated[tuple[str, ...], Field(min_length=1)]
    timeout_seconds: Annotated[float, Field(gt=0, le=86_400)] = 600.0
    environment: dict[VariableName, str] = {}
    working_directory: WorkspacePath = "."
    network: Network = "loopback"
    # Directories that keep what the command writes there, for later patches.
    caches: tuple[CachePath, ...] = ()


class Check(SandboxedCommand):
    # Part of the file name of the check's log.
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    # A check that is not required is run and reported, and refuses no patch.
    required: bool = True
    # A clone with the history of the branch in `.git`, thrown away afterwards.
    git: bool = False


class Setup(SandboxedCommand):
    """A command that makes directories for the checks, such as `.venv`. It runs
    once for each content of the files in `keyed_by`.
    """

    keyed_by: Annotated[tuple[WorkspacePath, ...], Field(min_length=1)]
    provides: Annotated[tuple[ProvidedPath, ...], Field(min_length=1)]


class Repository(_FrozenModel):
    # The ledger has room for 100 characters.
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
    path: RepositoryPath
    branch: BranchName = "main"
    setup: tuple[Setup, ...] = ()
    checks: tuple[Check, ...] = ()
    approval: Approval = "protected"
    protected: tuple[str, ...] = DEFAULT_PROTECTED
    sandbox: SandboxDemand = "required"
    sandbox_read_only: tuple[ExistingPath, ...] = ()
    tag: bool = True
    push: RemoteName = ""

    @field_validator("checks")
    @classmethod
    def _refuse_duplicate_checks(cls, checks: tuple[Check, ...]) -> tuple[Check, ...]:
        refuse_duplicate_names(check.name for check in checks)
        return checks


class OwnCheck(_FrozenModel):
    """A command of the owner that checks the health of something else on the
    machine.
    """

    # With the prefix `own_` the name of a check in answers, metrics and alerts,
    # where all other names are of this form.
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,35}$")]
    command: Annotated[tuple[str, ...], Field(min_length=1)]
    interval_seconds: Annotated[float, Field(ge=1, le=86_400)] = 60.0
    timeout_seconds: Annotated[float, Field(gt=0, le=3600)] = 10.0
    critical: bool = False


class Health(_FrozenModel):
    external_runner: ScriptName = ""
    tunnel_metrics: WebAddress = ""
    ping_url: WebAddress = ""
    ping_seconds: Annotated[float, Field(ge=1, le=86_400)] = 60.0
    # None is the port after the server's, 0 is no listener; see `Config.ops_port`.
    ops_port: Annotated[int, Field(ge=0, le=65535)] | None = None
    check: tuple[OwnCheck, ...] = ()

    @field_validator("check")
    @classmethod
    def _refuse_duplicate_checks(cls, checks: tuple[OwnCheck, ...]) -> tuple[OwnCheck, ...]:
        refuse_duplicate_names(check.name for check in checks)
        return checks


class Alerts(_FrozenModel):
    webhook_url: WebAddress = ""
    webhook_secret: WebhookSecret = ""
    apprise: tuple[str, ...] = ()
    minimum_severity: AlertSeverity = "warning"
    remind_hours: Annotated[float, Field(gt=0, le=24 * 30)] = 4.0

    @model_validator(mode="after")
    def _require_signature(self) -> Alerts:
        if self.webhook_url and not self.webhook_secret:
            raise ValueError(
                "webhook_url needs a webhook_secret; a receiver cannot trust alerts without a"
                " signature"
            )
        return self


class RunnerLimits(_FrozenModel):
    """The section `[runner]`."""

    # Patches at work at the same time; 0 is one for each core.
    parallel: Annotated[int, Field(ge=0, le=256)] = 0


class Config(BaseSettings):
    """Every setting, as one value; `settings.py` follows the changes of the file."""

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
    runner: RunnerLimits = RunnerLimits()
    sandbox: SandboxLimits = SandboxLimits()
    repository: tuple[Repository, ...] = ()

    @field_validator("repository")
    @classmethod
    def _refuse_duplicate_repositories(
        cls, repositories: tuple[Repository, ...]
    ) -> tuple[Repository, ...]:
        refuse_duplicate_names(repository.name for repository in repositories)
        return repositories

    @property
    def ops_port(self) -> int:
        """The port of the listener for operators; 0 when there is none."""
        if self.health.ops_port is not None:
            return self.health.ops_port
        return self.server.port % 65535 + 1

    def repository_named(self, name: str | None) -> Repository | None:
        """The repository with this name; for None the only one configured."""
        if name is None:
            if len(self.repository) != 1:
                return None
            return self.repository[0]
        for repository in self.repository:
            if repository.name == name:
                return repository
        return None
