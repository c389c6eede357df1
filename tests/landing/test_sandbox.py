"""In the sandbox a check reaches the tree and its tools, and nothing else of
the machine.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from gpt_cursor_runner.landing.sandbox import Sandbox, choose_sandbox, probe
from gpt_cursor_runner.landing.workspace import Workspace
from gpt_cursor_runner.patch.faults import WorldFailed
from tests.building import SEARCH_PATH

PLAIN_PATH = "/usr/bin:/bin"


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace(tmp_path / "workspaces" / "patch-1") as made:
        yield made


@pytest.fixture
def sandbox() -> Sandbox:
    """A missing sandbox fails these tests; if they were skipped, the suite
    would pass without a sandbox.
    """
    return choose_sandbox("required", PLAIN_PATH)


def run_in(
    sandbox: Sandbox, workspace: Workspace, *command: str
) -> subprocess.CompletedProcess[str]:
    arguments, start_in = sandbox.command(command, workspace)
    environment = sandbox.environment(workspace)
    return subprocess.run(
        arguments, cwd=start_in, env=environment, capture_output=True, text=True, timeout=20
    )


def without_bwrap(tmp_path: Path) -> str:
    (tmp_path / "bin").mkdir()
    return str(tmp_path / "bin")


def with_broken_bwrap(tmp_path: Path, script: str, mode: int = 0o755) -> str:
    place = Path(without_bwrap(tmp_path)) / "bwrap"
    place.write_text(f"#!/bin/sh\n{script}\n")
    place.chmod(mode)
    return f"{place.parent}:{PLAIN_PATH}"


def test_a_missing_required_sandbox_is_a_fault_of_ours(tmp_path: Path) -> None:
    with pytest.raises(WorldFailed, match="bubblewrap is not installed") as failed:
        choose_sandbox("required", without_bwrap(tmp_path))
    assert failed.value.code == "sandbox_unavailable"
    assert "Install bubblewrap" in failed.value.next_step


def test_the_best_available_sandbox_may_be_none_with_a_reason(tmp_path: Path) -> None:
    chosen = choose_sandbox("best", without_bwrap(tmp_path))
    assert (chosen.tier, chosen.why) == ("none", "bubblewrap is not installed")


def test_the_owner_may_choose_no_sandbox() -> None:
    chosen = choose_sandbox("none", SEARCH_PATH)
    assert (chosen.tier, chosen.why) == ("none", "the owner asked for none")


def test_an_installed_sandbox_that_fails_is_detected(tmp_path: Path) -> None:
    search_path = with_broken_bwrap(
        tmp_path, "echo 'bwrap: setting up uid map: Permission denied' >&2; exit 1"
    )
    assert (
        probe(search_path)
        == "bubblewrap does not work: bwrap: setting up uid map: Permission denied"
    )
    assert choose_sandbox("best", search_path).tier == "none"


def test_a_sandbox_that_is_not_a_program_is_detected(tmp_path: Path) -> None:
    place = Path(without_bwrap(tmp_path)) / "bwrap"
    place.write_bytes(b"\x7fELF, but no more")
    place.chmod(0o755)
    assert (probe(str(place.parent)) or "").startswith("bubblewrap does not start")


def test_the_tier_names_a_start_by_root(sandbox: Sandbox) -> None:
    assert sandbox.tier == ("bubblewrap-as-root" if os.geteuid() == 0 else "bubblewrap")
    assert sandbox.why == ""


def test_a_check_starts_in_the_tree_and_may_write_there(
    sandbox: Sandbox, workspace: Workspace
) -> None:
    (workspace.tree / "seen.txt").write_text("seen\n")
    done = run_in(
        sandbox,
        workspace,
        "sh",
        "-c",
        "pwd; cat seen.txt; echo made > made.txt; echo x > $HOME/x && echo y > $TMPDIR/y",
    )
    assert (done.stdout, done.returncode) == ("/workspace\nseen\n", 0)
    assert (workspace.tree / "made.txt").read_text() == "made\n"


def test_only_system_files_of_the_machine_are_visible(
    sandbox: Sandbox, workspace: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("swordfish")
    hidden = [
        Path.home(),
        Path("/root"),
        Path("/var"),
        Path("/srv"),
        Path("/sys"),
        Path("/run"),
        Path("/opt"),
    ]
    hidden += [
        tmp_path,
        tmp_path / "secret",
        workspace.directory,
        Path("/etc/shadow"),
        Path("/etc/ssl/private"),
    ]
    hidden += [Path(__file__), Path(sys.prefix)]
    look = """if True:
        import json, os, sys
        visible = [path for path in sys.argv[1:] if os.path.exists(path)]
        print(json.dumps([visible, os.listdir("/home"), os.listdir("/")]))"""
    visible, homes, top = json.loads(
        run_in(sandbox, workspace, "/usr/bin/python3", "-c", look, *map(str, hidden)).stdout
    )
    assert visible == []
    assert homes == ["check"]
    assert set(top) <= {
        "bin",
        "sbin",
        "lib",
        "lib32",
        "lib64",
        "libx32",
        "usr",
        "etc",
        "dev",
        "proc",
        "tmp",
        "home",
        "workspace",
    }


def test_nothing_outside_the_workspace_can_be_written(
    sandbox: Sandbox, workspace: Workspace, tmp_path: Path
) -> None:
    places = ["/", "/usr", "/etc", "/bin", "/home", "/proc", str(tmp_path)]
    script = """
        for place; do (echo x > "$place/gcr-was-here") 2>/dev/null && echo "$place"; done
        (echo x >> /etc/passwd) 2>/dev/null && echo changed
        mount -o remount,rw /usr 2>/dev/null && echo mounted
        true"""
    done = run_in(sandbox, workspace, "sh", "-c", script, "sh", *places)
    assert (done.stdout, done.returncode) == ("", 0)
    assert not [place for place in places if (Path(place) / "gcr-was-here").exists()]


def test_no_kernel_setting_can_be_written(sandbox: Sandbox, workspace: Workspace) -> None:
    """To the kernel a check that root started is still root, and needs no
    capability for /proc/sys.
    """
    script = (
        "find /proc -path '/proc/[0-9]*' -prune -o -type f -writable -print 2>/dev/null | head -3"
    )
    assert run_in(sandbox, workspace, "sh", "-c", script).stdout == ""


def test_the_mode_of_a_device_cannot_be_changed(sandbox: Sandbox, workspace: Workspace) -> None:
    devices = ["null", "zero", "full", "random", "urandom", "tty"]
    script = (
        "for d; do chmod 666 /dev/$d 2>/dev/null && echo $d; done; echo x > /dev/null && head -c 3"
        " /dev/zero | wc -c"
    )
    done = run_in(sandbox, workspace, "sh", "-c", script, "sh", *devices)
    assert (done.stdout, done.stderr) == ("3\n", "")


def test_no_port_of_the_machine_is_reachable(sandbox: Sandbox, workspace: Workspace) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), 1):
            pass  # from here it is open
        call = f"import socket; socket.create_connection(('127.0.0.1', {port}), 2)"
        done = run_in(sandbox, workspace, "/usr/bin/python3", "-c", call)
    assert done.returncode == 1
    assert "ConnectionRefusedError" in done.stderr


def test_no_address_beyond_the_loopback_exists(sandbox: Sandbox, workspace: Workspace) -> None:
    done = run_in(
        sandbox,
        workspace,
        "/usr/bin/python3",
        "-c",
        "import socket; print([n for _, n in socket.if_nameindex()])",
    )
    assert done.stdout == "['lo']\n"


def test_no_abstract_socket_of_the_machine_is_reachable(
    sandbox: Sandbox, workspace: Workspace
) -> None:
    name = f"\0gcr-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        server.listen()
        call = f"import socket; socket.socket(socket.AF_UNIX).connect({name!r})"
        assert (
            "ConnectionRefusedError"
            in run_in(sandbox, workspace, "/usr/bin/python3", "-c", call).stderr
        )


def sandbox_of_tier(sandbox: Sandbox, tier: str) -> Sandbox:
    if tier == "sandbox":
        return sandbox
    return choose_sandbox("none", PLAIN_PATH)


@pytest.mark.parametrize("tier", ["sandbox", "none"])
def test_the_environment_holds_five_variables_and_no_secret(
    sandbox: Sandbox, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tier: str
) -> None:
    monkeypatch.setenv("GCR_KEY", "swordfish")
    chosen = sandbox_of_tier(sandbox, tier)
    lines = run_in(chosen, workspace, "env").stdout.splitlines()
    variables = dict(line.split("=", 1) for line in lines)
    # bubblewrap sets PWD itself.
    assert set(variables) - {"PWD"} == {"PATH", "HOME", "TMPDIR", "LANG", "CI"}
    assert (variables["PATH"], variables["CI"]) == (PLAIN_PATH, "true")


def test_without_a_sandbox_home_and_temporary_files_are_in_the_workspace(
    workspace: Workspace,
) -> None:
    environment = choose_sandbox("none", PLAIN_PATH).environment(workspace)
    assert {environment["HOME"], environment["TMPDIR"]} == {str(workspace.home), str(workspace.tmp)}


def test_a_check_has_no_capabilities_inside_the_sandbox(
    sandbox: Sandbox, workspace: Workspace
) -> None:
    done = run_in(
        sandbox,
        workspace,
        "sh",
        "-c",
        "id -u; grep -E '^Cap(Eff|Prm|Bnd)' /proc/self/status | cut -f2 | sort -u; unshare -m true;"
        " echo $?",
    )
    user, powers, unshared = done.stdout.split()
    assert (user, powers) == ("65534", "0" * 16)
    assert unshared != "0"


def test_a_daemon_does_not_outlive_the_check(sandbox: Sandbox, workspace: Workspace) -> None:
    name = f"4{os.getpid()}"  # seconds that only this test sleeps
    done = run_in(
        sandbox,
        workspace,
        "sh",
        "-c",
        f"setsid sh -c 'trap \"\" TERM HUP; sleep {name}' >/dev/null 2>&1 </dev/null & sleep 0.1",
    )
    assert done.returncode == 0
    assert not sleepers(name)


def sleepers(name: str) -> list[int]:
    give_up_at = time.monotonic() + 2
    while True:
        pids = [
            process.pid
            for process in psutil.process_iter(["cmdline"])
            if (process.info["cmdline"] or [])[-1:] == [name]
        ]
        if not pids or time.monotonic() > give_up_at:
            return pids
        time.sleep(0.02)


def test_no_process_of_the_machine_is_visible(sandbox: Sandbox, workspace: Workspace) -> None:
    count = run_in(sandbox, workspace, "sh", "-c", "ls /proc | grep -c '^[0-9]'")
    assert int(count.stdout) < 8


def test_a_configured_path_is_visible_and_read_only(workspace: Workspace, tmp_path: Path) -> None:
    shown = tmp_path / "shown"
    shown.mkdir()
    (shown / "data").write_text("data\n")
    sandbox = choose_sandbox("required", PLAIN_PATH, [shown])
    done = run_in(sandbox, workspace, "sh", "-c", f"cat {shown}/data; echo x > {shown}/data")
    assert done.stdout == "data\n"
    assert "Read-only file system" in done.stderr
    assert (shown / "data").read_text() == "data\n"


# Tools from outside the system's directories.


@pytest.fixture(scope="session")
def python_apart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment outside /usr, with a script of its own, beside
    something private.
    """
    home = tmp_path_factory.mktemp("owner")
    (home / "private.txt").write_text("swordfish")
    venv.create(home / "venv", symlinks=True, with_pip=False)
    script = home / "venv" / "bin" / "say"
    script.write_text(
        f"#!{home}/venv/bin/python\nimport json, sys\nprint(json.dumps(sys.prefix))\n"
    )
    script.chmod(0o755)
    return home


@pytest.mark.parametrize(
    "command", [["python", "-c", "import json, sys; print(json.dumps(sys.prefix))"], ["say"]]
)
def test_a_virtual_environment_works_with_its_scripts(
    python_apart: Path, workspace: Workspace, command: list[str]
) -> None:
    sandbox = choose_sandbox("required", f"{python_apart}/venv/bin:{PLAIN_PATH}")
    done = run_in(sandbox, workspace, *command)
    assert (done.stderr, done.stdout) == ("", f'"{python_apart}/venv"\n')


def test_files_beside_a_tool_are_not_visible(python_apart: Path, workspace: Workspace) -> None:
    sandbox = choose_sandbox("required", f"{python_apart}/venv/bin:{PLAIN_PATH}")
    look = f"import os; print(os.path.exists('{python_apart}/private.txt'))"
    assert run_in(sandbox, workspace, "python", "-c", look).stdout == "False\n"


def test_a_tool_in_a_plain_directory_is_visible_alone(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "private.txt").write_text("swordfish")
    (tmp_path / "tool").write_text(f"#!/bin/sh\nls {tmp_path}\n")
    (tmp_path / "tool").chmod(0o755)
    done = run_in(choose_sandbox("required", PLAIN_PATH), workspace, str(tmp_path / "tool"))
    assert done.stdout == "tool\n"


def test_a_python_in_a_home_directory_does_not_expose_the_home(
    workspace: Workspace, tmp_path: Path
) -> None:
    """As with `~/.local/bin/python3`, beside which lie `lib/python3.11` and the
    runner's own state.
    """
    local = tmp_path / ".local"
    for name in ("bin", "lib/python3.11", "state"):
        (local / name).mkdir(parents=True)
    (local / "state" / "ledger.db").write_text("swordfish")
    (local / "bin" / "python3").symlink_to("/usr/bin/python3")
    sandbox = choose_sandbox("required", f"{local}/bin:{PLAIN_PATH}")
    look = f"import os; print(sorted(os.listdir('{local}')))"
    assert run_in(sandbox, workspace, "python3", "-c", look).stdout == "['bin', 'lib']\n"


def test_a_leading_system_path_does_not_expose_the_machine(
    workspace: Workspace,
) -> None:
    sandbox = choose_sandbox("required", "/bin:/usr/bin")
    done = run_in(
        sandbox,
        workspace,
        "python3",
        "-c",
        "import os; print(os.path.exists('/root'), os.path.exists('/var'))",
    )
    assert done.stdout == "False False\n"


def test_a_relative_command_is_resolved_in_the_tree(
    sandbox: Sandbox, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started_in = tmp_path / "started-in"
    started_in.mkdir()
    for place, word in ((started_in, "runner"), (workspace.tree, "tree")):
        (place / "check.sh").write_text(f"#!/bin/sh\necho {word}; ls {started_in} 2>&1\n")
        (place / "check.sh").chmod(0o755)
    monkeypatch.chdir(started_in)
    done = run_in(sandbox, workspace, "./check.sh")
    assert done.stdout.splitlines()[0] == "tree"
    assert "No such file or directory" in done.stdout


@pytest.mark.parametrize("program", ["no-such-program", "./no-such-program", "/no/such/program"])
@pytest.mark.parametrize("tier", ["sandbox", "none"])
def test_a_missing_program_is_detected_before_the_start(
    sandbox: Sandbox, workspace: Workspace, program: str, tier: str
) -> None:
    chosen = sandbox_of_tier(sandbox, tier)
    with pytest.raises(FileNotFoundError):
        chosen.command([program], workspace)


def test_a_chain_of_links_is_followed_to_its_end(workspace: Workspace, tmp_path: Path) -> None:
    real = tmp_path / "store" / "tool-1.0" / "bin"
    real.mkdir(parents=True)
    shutil.copy("/bin/sh", real / "tool")
    (tmp_path / "store" / "tool-1").symlink_to("tool-1.0")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "tool").symlink_to("../store/tool-1/bin/tool")
    sandbox = choose_sandbox("required", f"{tmp_path}/bin:{PLAIN_PATH}")
    assert run_in(sandbox, workspace, "tool", "-c", "echo well").stdout == "well\n"


def test_a_cycle_of_links_is_reported_as_missing(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    with pytest.raises(FileNotFoundError):
        choose_sandbox("required", PLAIN_PATH).command([str(tmp_path / "one")], workspace)
