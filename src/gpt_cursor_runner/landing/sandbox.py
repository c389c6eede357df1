"""Confines checks in bubblewrap, with only the parts of the machine that they
need; or runs them without a sandbox and reports that.

The tier is found by running a command in it, not by looking for a binary.
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
_INSIDE_TMP = "/tmp"  # noqa: S108  a tmpfs of the sandbox's own
_PROBE_SECONDS = 10.0
_SYSTEM = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
# The directories that a tool reads beside the `bin` it is in. Never the whole
# prefix: that of ~/.local/bin holds the owner's secrets.
_BESIDE_BIN = ("bin", "lib", "lib64", "libexec", "include", "pyvenv.cfg")
_MAX_LINKS = 40  # as the kernel
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

Tier = Literal["bubblewrap", "bubblewrap-as-root", "none"]


@dataclass(frozen=True)
class Sandbox:
    """How checks are confined. `tier` is in every report; `why` is the reason
    when it is none.
    """

    tier: Tier
    why: str
    search_path: str
    read_only: tuple[Path, ...] = ()

    def command(self, command: Sequence[str], workspace: Workspace) -> tuple[list[str], Path]:
        """The argument list that runs `command` in the workspace, and the
        directory to start it in.

        Raises FileNotFoundError when the program is neither on the search path
        nor in the tree.
        """
        executable = self._find(command[0], workspace)
        if self.tier == "none":
            return [executable, *command[1:]], workspace.tree
        arguments = _confinement()
        for path in (*_tools_of(executable), *self.read_only):
            arguments += ["--ro-bind", str(path), str(path)]
        arguments += ["--bind", str(workspace.tree), _INSIDE, "--chdir", _INSIDE]
        arguments += ["--remount-ro", "/"]
        if self.tier == "bubblewrap-as-root":
            arguments += _own_devices(workspace.directory / "dev")
        return [*arguments, "--", executable, *command[1:]], workspace.directory

    def environment(self, workspace: Workspace) -> dict[str, str]:
        """The complete environment of a check."""
        home = _INSIDE_HOME
        tmp = _INSIDE_TMP
        if self.tier == "none":
            home = str(workspace.home)
            tmp = str(workspace.tmp)
        return {
            "PATH": self.search_path,
            "HOME": home,
            "TMPDIR": tmp,
            "LANG": "C.UTF-8",
            "CI": "true",
        }

    def _find(self, program: str, workspace: Workspace) -> str:
        is_path = "/" in program
        candidate = program
        if is_path:
            # A relative path is in the tree, wherever the runner was started;
            # joining an absolute one gives that path itself.
            candidate = str(workspace.tree / program)
        found = shutil.which(candidate, path=self.search_path)
        if found is None:
            raise FileNotFoundError(errno.ENOENT, "no such program", program)
        if is_path:
            return program
        return str(Path(found).absolute())


def choose_sandbox(
    choice: SandboxDemand, search_path: str, read_only: Sequence[Path] = ()
) -> Sandbox:
    """The best tier of this machine; raise WorldFailed when the owner requires
    a sandbox and none works.
    """
    if choice == "none":
        return Sandbox("none", "the owner asked for none", search_path)
    trouble = probe(search_path)
    if trouble is None:
        tier: Tier = "bubblewrap"
        if os.geteuid() == 0:
            tier = "bubblewrap-as-root"
        return Sandbox(tier, "", search_path, tuple(read_only))
    if choice == "required":
        raise WorldFailed(
            "sandbox_unavailable",
            f"checks must run in a sandbox and none works here: {trouble}",
            'Install bubblewrap, or set sandbox = "best" for this repository in runner.toml.',
        )
    return Sandbox("none", trouble, search_path)


def probe(search_path: str) -> str | None:
    """None when bubblewrap works here, else the reason."""
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
    command += ["--die-with-parent", "--new-session"]
    # Also a root's sandbox is a user namespace without capabilities: with them,
    # root could remount its way out.
    command += ["--cap-drop", "ALL"]
    command += ["--ro-bind", "/usr", "/usr"]
    for name in _SYSTEM:
        path = Path(name)
        if path.is_symlink():
            command += ["--symlink", str(path.readlink()), name]
        elif path.is_dir():
            command += ["--ro-bind", name, name]
    for name in _SYSTEM_FILES:
        command += ["--ro-bind-try", name, name]
    # To the kernel a root's check is still root, which may write to /proc/sys
    # without any capability.
    command += ["--proc", "/proc", "--remount-ro", "/proc"]
    command += ["--dev", "/dev", "--tmpfs", _INSIDE_TMP, "--tmpfs", _INSIDE_HOME]
    return command


def _own_devices(directory: Path) -> list[str]:
    """Arguments that lay device nodes of the workspace over those in /dev; none
    where its file system has no devices, and then the machine's stay.
    """
    # A root's check owns the machine's nodes, and could close them to every
    # other process.
    directory.mkdir(exist_ok=True)
    arguments = []
    try:
        for name, (major, minor) in _DEVICES.items():
            node = directory / name
            _make_device(node, os.makedev(major, minor))
            arguments += ["--dev-bind", str(node), f"/dev/{name}"]
        # mknod succeeds on a file system mounted with nodev; opening does not.
        (directory / "null").read_bytes()
    except OSError:
        return []
    return arguments


def _make_device(node: Path, device: int) -> None:
    if node.exists():
        return
    os.mknod(node, stat.S_IFCHR, device)
    os.chown(node, _NOBODY, _NOBODY)
    node.chmod(0o666)


def _tools_of(executable: str) -> list[Path]:
    path = Path(executable)
    if not path.is_absolute():  # in the tree
        return []
    return _toolchain(path)


def _toolchain(executable: Path) -> list[Path]:
    """The paths that an executable outside the system's directories needs
    inside.
    """
    needed: list[Path] = []
    # Every link of the chain, since each must exist inside too.
    for hop in _links(executable):
        if _is_in_system(hop):
            continue
        prefix = hop.parent.parent
        if hop.parent.name != "bin" or prefix == Path("/"):
            needed.append(hop)
            continue
        needed += [prefix / name for name in _BESIDE_BIN if (prefix / name).exists()]
        # A virtual environment needs the Python that it was made from.
        if (prefix / "pyvenv.cfg").is_file() and not hop.name.startswith("python"):
            needed += _toolchain(prefix / "bin" / "python")
    return list(dict.fromkeys(needed))


def _is_in_system(path: Path) -> bool:
    return any(path.is_relative_to(shown) for shown in ("/usr", *_SYSTEM, *_SYSTEM_FILES))


def _links(path: Path) -> list[Path]:
    """The path, and every path of its chain of symbolic links."""
    chain = [path]
    while chain[-1].is_symlink() and len(chain) < _MAX_LINKS:
        target = chain[-1].parent / chain[-1].readlink()
        chain.append(Path(os.path.normpath(target)))
    return chain
