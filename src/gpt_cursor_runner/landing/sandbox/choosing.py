"""Finds out which sandbox works on this machine, by trying it, and applies it to
a repository.
"""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from gpt_cursor_runner.config import Repository, SandboxLimits
from gpt_cursor_runner.landing.sandbox import canary, seccomp
from gpt_cursor_runner.landing.sandbox.cgroup import find_cgroups
from gpt_cursor_runner.landing.sandbox.model import Sandbox
from gpt_cursor_runner.landing.sandbox.tools import Tools, find_tools, overlaps
from gpt_cursor_runner.landing.tree_files import Owner
from gpt_cursor_runner.patch.faults import WorldFailed

_INSTALL = 'Install bubblewrap, or set sandbox = "best" for this repository in runner.toml.'
# Ubuntu 24.04 denies user namespaces to programs without a profile.
_ALLOW = (
    "Allow user namespaces to bubblewrap: on Ubuntu install the package apparmor-profiles and"
    " `sudo ln -s /usr/share/apparmor/extra-profiles/bwrap-userns-restrict /etc/apparmor.d/`."
)


@dataclass(frozen=True)
class Proof:
    """The result of trying the sandbox. It is unknown when the trial did not
    end in time, which is no reason to go without.
    """

    code: Literal["works", "not_installed", "unsupported", "no_user", "broken", "unknown"]
    why: str = ""
    next_step: str = ""
    sandbox: Sandbox | None = None


def prove_sandbox(search_path: str, limits: SandboxLimits, directory: Path) -> Proof:
    """Try the sandbox with workspaces in `directory`. Takes some 50 ms."""
    program = shutil.which("bwrap", path=search_path)
    if program is None:
        return Proof("not_installed", "bubblewrap is not installed", _INSTALL)
    if not seccomp.is_supported():
        reason = f"no filter of system calls for {os.uname().machine}"
        return Proof("unsupported", reason, 'Set sandbox = "none" for this repository.')
    user = None
    if os.geteuid() == 0:
        user = _find_user(limits.user)
        if user is None:
            return _no_user(limits.user)
    # Without the tools: the canary needs none.
    plain = Sandbox(
        "bubblewrap",
        "",
        Tools("/usr/bin:/bin", ()),
        program,
        limits,
        user=user,
        cgroups=find_cgroups(limits),
    )
    layered = _try(replace(plain, layered=True), directory)
    if layered.code == "works":
        return layered
    return _try(plain, directory)


def sandbox_for(
    repository: Repository, proof: Proof, search_path: str, work_trees: Sequence[Path]
) -> Sandbox:
    """The sandbox in which the commands of a repository run.

    Raises WorldFailed when the owner requires one and none works, and when a
    path that the owner shows would bring the owner's work tree with it.
    """
    tools = find_tools(search_path, work_trees)
    if repository.sandbox == "none":
        return Sandbox("none", "the owner asked for none", tools)
    if proof.sandbox is not None:
        read_only = repository.sandbox_read_only
        _refuse_work_trees(read_only, work_trees)
        return replace(proof.sandbox, tools=tools, read_only=read_only)
    if repository.sandbox == "required" or proof.code == "unknown":
        raise WorldFailed(
            "sandbox_unavailable",
            f"checks must run in a sandbox and none works here: {proof.why}",
            proof.next_step,
        )
    return Sandbox("none", proof.why, tools)


def _try(sandbox: Sandbox, directory: Path) -> Proof:
    try:
        problems = canary.run_canary(sandbox, directory)
    except TimeoutError:
        reason = f"bubblewrap did not end within {canary.SECONDS:.0f} s"
        return Proof("unknown", reason, "See what keeps this machine busy.")
    except WorldFailed as error:
        return Proof("broken", f"bubblewrap does not work: {error.message}", _ALLOW)
    except OSError as error:
        return Proof("broken", f"bubblewrap does not start: {error.strerror}", _ALLOW)
    if problems:
        return Proof("broken", f"bubblewrap does not confine: {'; '.join(problems)}", _ALLOW)
    return Proof("works", sandbox=sandbox)


def _find_user(name: str) -> Owner | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    if entry.pw_uid == 0:
        return None
    return Owner(entry.pw_uid, entry.pw_gid)


def _no_user(name: str) -> Proof:
    return Proof(
        "no_user",
        f"root started the runner, and there is no user {name} to run checks as",
        f"Run `useradd --system {name}`, or name another user as sandbox.user in runner.toml.",
    )


def _refuse_work_trees(paths: Sequence[Path], work_trees: Sequence[Path]) -> None:
    for path in paths:
        if overlaps(path, work_trees):
            raise WorldFailed(
                "sandbox_shows_work_tree",
                f"sandbox_read_only shows {path}, which is in or around the owner's work tree:"
                " checks would test the owner's files and not the patch",
                "Remove it, and let `setup` make the directories that the checks need.",
            )
