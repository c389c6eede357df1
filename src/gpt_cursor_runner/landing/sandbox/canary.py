"""A command that tries to leave the sandbox, and to work in it: both must turn
out as promised.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from gpt_cursor_runner.config import SandboxedCommand
from gpt_cursor_runner.landing.sandbox.ended import Ended
from gpt_cursor_runner.landing.sandbox.model import Confined, Sandbox
from gpt_cursor_runner.landing.sandbox.running import run_command
from gpt_cursor_runner.landing.tree_files import give
from gpt_cursor_runner.landing.workspace import Workspace

SECONDS = 20.0
_SECRET = "a file of the machine"  # noqa: S105  planted, to be looked for

# Prints one line for each promise that does not hold. `$1` is a file of the
# machine, `$2` a process of the machine.
_SCRIPT = r"""
problem() { echo "$*"; }
# Leaves nothing behind where it was not confined.
writable() { (echo x > "$1/gcr-canary" && rm "$1/gcr-canary") 2>/dev/null; }

[ "$(pwd)" = /workspace ] || problem "the working directory is $(pwd)"
[ "$(cat given)" = given ] || problem "the files of the tree are not shown"
(echo changed > given) 2>/dev/null || problem "the files of the tree cannot be changed"
for directory in . "$HOME" /tmp /var/tmp /run /dev/shm; do
  writable "$directory" || problem "$directory cannot be written"
done
for directory in / /usr /usr/bin /etc /proc /home; do
  writable "$directory" && problem "$directory of the machine can be written"
done
[ -e "$1" ] && problem "files of the machine are visible"
# Signals to a process need its number to mean the same.
[ "$(cat "/proc/$2/cmdline" 2>/dev/null | tr '\0' ' ')" != "$3" ] \
  || problem "processes of the machine are visible"
while read -r name value _; do
  case "$name $value" in
    "Seccomp: 2" | "NoNewPrivs: 1" | "CapEff: 0000000000000000") ;;
    Seccomp:* | NoNewPrivs:* | CapEff:*) problem "the process has $name $value" ;;
  esac
done < /proc/self/status
while read -r name _; do
  case $name in
    Inter-* | face* | lo:*) ;;
    *) problem "the network interface ${name%:} is visible" ;;
  esac
done < /proc/net/dev
[ "$(id -un)" = check ] || problem "the user has no name"
grep -q localhost /etc/hosts || problem "localhost has no address"
grep -q '^http[[:space:]]' /etc/services || problem "/etc/services is missing"
exit 0
"""


def run_canary(sandbox: Sandbox, directory: Path) -> list[str]:
    """The promises of the sandbox that do not hold, tried with a workspace in
    `directory`.

    Raises TimeoutError when the command does not end in time, which proves
    nothing; WorldFailed when the sandbox does not start.
    """
    with (
        tempfile.TemporaryDirectory(prefix="canary-", dir=directory) as place,
        Workspace(Path(place) / "workspace", sandbox.user) as workspace,
    ):
        secret = Path(place) / "secret"
        secret.write_text(_SECRET)
        given = _lay_out(workspace, sandbox, Path(place) / "lower")
        ended = run_command(sandbox, _command(secret), workspace, lambda: None)
        problems = _problems(ended)
        if sandbox.layered and given.read_text() != "given\n":
            problems.append("a change in the workspace reaches the files under it")
    return problems


def _lay_out(workspace: Workspace, sandbox: Sandbox, lower: Path) -> Path:
    directory = workspace.tree
    if sandbox.layered:
        lower.mkdir()
        directory = lower
        workspace.lay_over([lower])
    given = directory / "given"
    given.write_text("given\n")
    give(sandbox.user, directory, given)
    return given


def _command(secret: Path) -> Confined:
    # Process 1 always exists, and is another one inside.
    first = Path("/proc/1/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    command = ("/bin/sh", "-c", _SCRIPT, "canary", str(secret), "1", first)
    return Confined(SandboxedCommand(command=command, timeout_seconds=SECONDS))


def _problems(ended: Ended) -> list[str]:
    if ended.status == "timed_out":
        raise TimeoutError
    lines = ended.output.decode(errors="replace").splitlines()
    if ended.status != "passed" and not lines:
        return [f"a command in it {ended.status} (exit code {ended.exit_code})"]
    return lines
