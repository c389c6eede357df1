"""Where checks run: in bubblewrap, with nothing of the machine but what it
takes to run them; or plainly, said so.

The tier is proved by running something in it, not by finding a binary.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gpt_cursor_runner.config import SandboxDemand
from gpt_cursor_runner.landing.workspace import Workspace
from gpt_cursor_runner.patch.faults import WorldFailed
from gpt_cursor_runner.system import processes

_INSIDE = "/workspace"
_INSIDE_HOME = "/home/check"
_PROBE_SECONDS = 10.0
_SYSTEM = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
# What a tool needs beside the `bin` it is in. Never the whole prefix: that of
# ~/.local/bin holds the owner's secrets.
_BESIDE_BIN = ("bin", "lib", "lib64", "libexec", "include", "pyvenv.cfg")
_MAX_LINKS = 40
_NOBODY = 65534
_DEVICES = {
    "null": (1, 3),
    "zero": (1, 5),
    "full": (1, 7),
    "random": (1, 8),
    "urandom": (1, 9),
    "tty": (5, 0),
}
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
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
)


@dataclass(frozen=True)
class Sandbox:
    """How checks are confined. `tier` goes into every report; `why` says what
    is missing when it is none.
    """

    tier: Literal["bubblewrap", "bubblewrap-as-root", "none"]
    why: str
    search_path: str
    read_only: tuple[Path, ...] = ()

    def command(self, command: Sequence[str], workspace: Workspace) -> tuple[list[str], Path]:
        """The argument list that runs `command` in the workspace, and the
        directory to start it in.

        Raises FileNotFoundError when there is no such program, neither on the
        search path nor in the tree.
        """
        program = command[0]
        # A name with a slash is the tree's own, wherever the runner was
        # started; an absolute one joins to itself.
        found = shutil.which(
            str(workspace.tree / program) if "/" in program else program, path=self.search_path
        )
        if found is None:
            raise FileNotFoundError(errno.ENOENT, "no such program", program)
        executable = program if "/" in program else str(Path(found).absolute())
        if self.tier == "none":
            return [executable, *command[1:]], workspace.tree
        tools = _toolchain(Path(executable)) if Path(executable).is_absolute() else []
        shown = [
            part
            for path in (*tools, *self.read_only)
            for part in ("--ro-bind", str(path), str(path))
        ]
        shown += ["--bind", str(workspace.tree), _INSIDE, "--chdir", _INSIDE, "--remount-ro", "/"]
        if self.tier == "bubblewrap-as-root":
            shown += _own_devices(workspace.directory / "dev")
        return [*_confinement(), *shown, "--", executable, *command[1:]], workspace.directory

    def environment(self, workspace: Workspace) -> dict[str, str]:
        """All that a check finds in its environment."""
        plain = self.tier == "none"
        home, tmp = (str(workspace.home), str(workspace.tmp)) if plain else (_INSIDE_HOME, "/tmp")  # noqa: S108
        return {
            "PATH": self.search_path,
            "HOME": home,
            "TMPDIR": tmp,
            "LANG": "C.UTF-8",
            "CI": "true",
        }


def choose_sandbox(
    demand: SandboxDemand, search_path: str, read_only: Sequence[Path] = ()
) -> Sandbox:
    """The best tier there is; raise WorldFailed when the owner requires a
    sandbox and none works here.
    """
    if demand == "none":
        return Sandbox("none", "the owner asked for none", search_path)
    trouble = probe(search_path)
    if trouble is None:
        tier: Literal["bubblewrap", "bubblewrap-as-root"] = (
            "bubblewrap-as-root" if os.geteuid() == 0 else "bubblewrap"
        )
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
        completed = processes.run(
            [*_confinement(), "--", "/bin/sh", "-c", "exit 0"],
            _PROBE_SECONDS,
            environment={"PATH": search_path},
        )
    except processes.DeadlinePassed:
        return f"bubblewrap did not start within {_PROBE_SECONDS:.0f} s"
    except OSError as error:
        return f"bubblewrap does not start: {error.strerror}"
    if completed.exit_code == 0:
        return None
    return f"bubblewrap does not work: {completed.stderr.decode(errors='replace').strip()[:500]}"


def _confinement() -> list[str]:
    command = ["bwrap", "--unshare-all", "--unshare-user", "--hostname", "check"]
    command += ["--uid", str(_NOBODY), "--gid", str(_NOBODY)]
    # Even a root's sandbox is a user namespace without capabilities: without
    # one, root could remount its way out.
    command += [
        "--die-with-parent",
        "--new-session",
        "--cap-drop",
        "ALL",
        "--ro-bind",
        "/usr",
        "/usr",
    ]
    for name in _SYSTEM:
        place = Path(name)
        if place.is_symlink():
            command += ["--symlink", str(place.readlink()), name]
        elif place.is_dir():
            command += ["--ro-bind", name, name]
    for name in _SYSTEM_FILES:
        command += ["--ro-bind-try", name, name]
    # To the kernel a root's check is still root, who may write to /proc/sys
    # without any capability.
    command += ["--proc", "/proc", "--remount-ro", "/proc"]
    return [*command, "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", _INSIDE_HOME]  # noqa: S108


def _own_devices(directory: Path) -> list[str]:
    """Nodes of our own over those in /dev: a root's check owns the machine's,
    and could close them to everybody.

    Where the workspace's file system knows no devices, the machine's stay.
    """
    directory.mkdir(exist_ok=True)
    nodes = {directory / name: os.makedev(*numbers) for name, numbers in _DEVICES.items()}
    try:
        for node, device in nodes.items():
            if not node.exists():
                os.mknod(node, stat.S_IFCHR, device)
                os.chown(node, _NOBODY, _NOBODY)
                node.chmod(0o666)
        (directory / "null").read_bytes()
    except OSError:
        return []
    return [part for node in nodes for part in ("--dev-bind", str(node), f"/dev/{node.name}")]


def _toolchain(executable: Path) -> list[Path]:
    """What an executable outside the system's directories needs to be seen.

    Its links are followed one by one, since each hop must exist inside too; a
    virtual environment is followed to the Python it was made from.
    """
    needed: list[Path] = []
    for place in _hops(executable):
        if any(place.is_relative_to(shown) for shown in ("/usr", *_SYSTEM, *_SYSTEM_FILES)):
            continue
        prefix = place.parent.parent
        if place.parent.name != "bin" or prefix == Path("/"):
            needed.append(place)
            continue
        needed += [prefix / name for name in _BESIDE_BIN if (prefix / name).exists()]
        if (prefix / "pyvenv.cfg").is_file() and not place.name.startswith("python"):
            needed += _toolchain(prefix / "bin" / "python")
    return list(dict.fromkeys(needed))


def _hops(path: Path) -> list[Path]:
    """The path, and every path its chain of symbolic links leads through."""
    hops = [path]
    while hops[-1].is_symlink() and len(hops) < _MAX_LINKS:
        hops.append(Path(os.path.normpath(hops[-1].parent / hops[-1].readlink())))
    return hops
