"""Where checks run: in bubblewrap, with nothing of the machine but what it takes to run them; or plainly, said so.

The tier is proved by running something in it, not by finding a binary.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gpt_cursor_runner.landing.workspace import Workspace
from gpt_cursor_runner.patch.outcome import WorldFailed

Demand = Literal["required", "best", "none"]

_INSIDE = "/workspace"
_INSIDE_HOME = "/home/check"
_PROBE_SECONDS = 10.0
_SYSTEM = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_SYSTEM_FILES = (
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/group",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/ssl",
)


@dataclass(frozen=True)
class Sandbox:
    """How checks are confined. `tier` goes into every report; `why` says what is missing when it is none."""

    tier: Literal["bubblewrap", "bubblewrap-as-root", "none"]
    why: str
    search_path: str
    read_only: tuple[Path, ...] = ()

    def command(self, command: Sequence[str], workspace: Workspace) -> tuple[list[str], Path]:
        """The argument list that runs `command` in the workspace, and the directory to start it in."""
        executable = shutil.which(command[0], path=self.search_path) or command[0]
        if self.tier == "none":
            return [executable, *command[1:]], workspace.tree
        shown = ["--bind", str(workspace.tree), _INSIDE, "--chdir", _INSIDE]
        tools = [part for path in (*_toolchain(Path(executable)), *self.read_only) for part in _show(path)]
        return [*_confinement(), *tools, *shown, "--", executable, *command[1:]], workspace.directory

    def environment(self, workspace: Workspace) -> dict[str, str]:
        """All that a check finds in its environment."""
        home = str(workspace.home) if self.tier == "none" else _INSIDE_HOME
        return {"PATH": self.search_path, "HOME": home, "TMPDIR": "/tmp", "LANG": "C.UTF-8", "CI": "true"}  # noqa: S108


def choose_sandbox(demand: Demand, search_path: str, read_only: Sequence[Path] = ()) -> Sandbox:
    """The best tier there is; raise WorldFailed when the owner requires a sandbox and none works here."""
    if demand == "none":
        return Sandbox("none", "the owner asked for none", search_path)
    trouble = probe(search_path)
    if trouble is None:
        tier: Literal["bubblewrap", "bubblewrap-as-root"] = "bubblewrap-as-root" if os.geteuid() == 0 else "bubblewrap"
        return Sandbox(tier, "", search_path, tuple(read_only))
    if demand == "required":
        raise WorldFailed(
            "sandbox_unavailable",
            f"checks must run in a sandbox and none works here: {trouble}",
            'Install bubblewrap, or set sandbox = "best" for this repository in runner.toml.',
        )
    return Sandbox("none", trouble, search_path)


def probe(search_path: str) -> str | None:
    """None when bubblewrap works here, else what is wrong with it."""
    if shutil.which("bwrap", path=search_path) is None:
        return "bubblewrap is not installed"
    try:
        tried = subprocess.run(
            [*_confinement(), "--", "/bin/sh", "-c", "exit 0"],
            env={"PATH": search_path},
            capture_output=True,
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "bubblewrap did not start within 10 s"
    return (
        None if tried.returncode == 0 else f"bubblewrap does not work: {tried.stderr.decode(errors='replace').strip()}"
    )


def _confinement() -> list[str]:
    command = ["bwrap", "--unshare-all", "--unshare-user", "--uid", "65534", "--gid", "65534", "--hostname", "check"]
    # Even a root's sandbox is a user namespace without capabilities: without one, root could remount its way out.
    command += ["--die-with-parent", "--new-session", "--cap-drop", "ALL", "--ro-bind", "/usr", "/usr"]
    for name in _SYSTEM:
        place = Path(name)
        if place.is_symlink():
            command += ["--symlink", str(place.readlink()), name]
        elif place.is_dir():
            command += ["--ro-bind", name, name]
    for name in _SYSTEM_FILES:
        command += ["--ro-bind-try", name, name]
    return [*command, "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--dir", _INSIDE_HOME]  # noqa: S108


def _toolchain(executable: Path) -> list[Path]:
    """What an executable outside /usr needs to be seen: its directory, or the whole prefix of a Python installation."""
    needed: list[Path] = []
    for place in (executable, executable.resolve()):
        if not place.is_absolute() or place.is_relative_to("/usr"):
            continue
        prefix = place.parent.parent
        is_python = place.name.startswith("python") and any(prefix.glob("lib/python3*"))
        is_python = is_python or (prefix / "pyvenv.cfg").is_file()
        needed.append(prefix if is_python else place.parent)
    return list(dict.fromkeys(needed))


def _show(path: Path) -> list[str]:
    return ["--ro-bind", str(path), str(path)]
