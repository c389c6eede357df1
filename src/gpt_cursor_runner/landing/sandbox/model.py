"""How a command of the owner's is confined."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from gpt_cursor_runner.config import SandboxedCommand, SandboxLimits
from gpt_cursor_runner.landing.sandbox.cgroup import NO_CGROUPS, CgroupParents
from gpt_cursor_runner.landing.sandbox.tools import Tools
from gpt_cursor_runner.landing.tree_files import Owner

INSIDE = "/workspace"
INSIDE_HOME = "/home/check"

# Reports of earlier versions also have "bubblewrap-as-root".
Tier = Literal["bubblewrap", "none"]


@dataclass(frozen=True)
class Mount:
    """A directory of this machine at a path of the sandbox."""

    source: Path
    inside: str
    writable: bool = False


@dataclass(frozen=True)
class Sandbox:
    """How commands are confined here. `tier` is in every report; `why` is the
    reason when it is none.

    With `layered` a workspace is an overlay; otherwise it is a copy. `user` is
    None when commands run as the user of the runner.
    """

    tier: Tier
    why: str
    tools: Tools
    program: str = "bwrap"
    limits: SandboxLimits = field(default_factory=SandboxLimits)
    read_only: tuple[Path, ...] = ()
    user: Owner | None = None
    layered: bool = False
    cgroups: CgroupParents = NO_CGROUPS


@dataclass(frozen=True)
class Confined:
    """One command with the directories that it sees beside the workspace."""

    settings: SandboxedCommand
    mounts: tuple[Mount, ...] = ()
