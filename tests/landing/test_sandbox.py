"""The sandbox: a check sees the tree, its tools and nothing else of the machine."""

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
    """A missing sandbox fails these tests: skipped, they would say that all is
    well.
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


def a_broken_bwrap(tmp_path: Path, script: str, mode: int = 0o755) -> str:
    place = Path(without_bwrap(tmp_path)) / "bwrap"
    place.write_text(f"#!/bin/sh\n{script}\n")
    place.chmod(mode)
    return f"{place.parent}:{PLAIN_PATH}"


def test_a_required_sandbox_that_is_missing_is_our_trouble(tmp_path: Path) -> None:
    with pytest.raises(WorldFailed, match="bubblewrap is not installed") as failed:
        choose_sandbox("required", without_bwrap(tmp_path))
    assert failed.value.code == "sandbox_unavailable"
    assert "Install bubblewrap" in failed.value.next_step


def test_the_best_sandbox_there_is_may_be_none_and_says_why(tmp_path: Path) -> None:
    chosen = choose_sandbox("best", without_bwrap(tmp_path))
    assert (chosen.tier, chosen.why) == ("none", "bubblewrap is not installed")


def test_an_owner_who_wants_none_gets_none() -> None:
    chosen = choose_sandbox("none", SEARCH_PATH)
    assert (chosen.tier, chosen.why) == ("none", "the owner asked for none")


def test_a_sandbox_that_is_installed_and_does_not_work_is_found_out(tmp_path: Path) -> None:
    search_path = a_broken_bwrap(
        tmp_path, "echo 'bwrap: setting up uid map: Permission denied' >&2; exit 1"
    )
    assert (
        probe(search_path)
        == "bubblewrap does not work: bwrap: setting up uid map: Permission denied"
    )
    assert choose_sandbox("best", search_path).tier == "none"


def test_a_sandbox_that_is_no_program_is_found_out(tmp_path: Path) -> None:
    place = Path(without_bwrap(tmp_path)) / "bwrap"
    place.write_bytes(b"\x7fELF, but no more")
    place.chmod(0o755)
    assert (probe(str(place.parent)) or "").startswith("bubblewrap does not start")


def test_the_tier_says_whether_root_started_it(sandbox: Sandbox) -> None:
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


def test_nothing_of_the_machine_is_seen_but_its_system(
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
        seen = [path for path in sys.argv[1:] if os.path.exists(path)]
        print(json.dumps([seen, os.listdir("/home"), os.listdir("/")]))"""
    seen, homes, top = json.loads(
        run_in(sandbox, workspace, "/usr/bin/python3", "-c", look, *map(str, hidden)).stdout
    )
    assert seen == []
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


def test_no_setting_of_the_machine_can_be_written(sandbox: Sandbox, workspace: Workspace) -> None:
    """To the kernel a check that root started is still root, and needs no
    capability for /proc/sys.
    """
    script = (
        "find /proc -path '/proc/[0-9]*' -prune -o -type f -writable -print 2>/dev/null | head -3"
    )
    assert run_in(sandbox, workspace, "sh", "-c", script).stdout == ""


def test_no_device_of_the_machine_can_be_closed(sandbox: Sandbox, workspace: Workspace) -> None:
    devices = ["null", "zero", "full", "random", "urandom", "tty"]
    script = (
        "for d; do chmod 666 /dev/$d 2>/dev/null && echo $d; done; echo x > /dev/null && head -c 3"
        " /dev/zero | wc -c"
    )
    done = run_in(sandbox, workspace, "sh", "-c", script, "sh", *devices)
    assert (done.stdout, done.stderr) == ("3\n", "")


def test_no_port_of_the_machine_is_reached(sandbox: Sandbox, workspace: Workspace) -> None:
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


def test_an_abstract_socket_of_the_machine_is_not_reached(
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


@pytest.mark.parametrize("tier", ["sandbox", "none"])
def test_the_environment_holds_five_variables_and_no_secret(
    sandbox: Sandbox, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tier: str
) -> None:
    monkeypatch.setenv("GCR_KEY", "swordfish")
    chosen = sandbox if tier == "sandbox" else choose_sandbox("none", PLAIN_PATH)
    seen = dict(line.split("=", 1) for line in run_in(chosen, workspace, "env").stdout.splitlines())
    assert set(seen) - {"PWD"} == {
        "PATH",
        "HOME",
        "TMPDIR",
        "LANG",
        "CI",
    }  # bubblewrap says where it went
    assert (seen["PATH"], seen["CI"]) == (PLAIN_PATH, "true")


def test_without_a_sandbox_home_and_temporary_files_go_with_the_workspace(
    workspace: Workspace,
) -> None:
    seen = choose_sandbox("none", PLAIN_PATH).environment(workspace)
    assert {seen["HOME"], seen["TMPDIR"]} == {str(workspace.home), str(workspace.tmp)}


def test_a_check_has_no_power_inside_either(sandbox: Sandbox, workspace: Workspace) -> None:
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
    name = f"4{os.getpid()}"  # seconds nobody else sleeps
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
        found = [
            one.pid
            for one in psutil.process_iter(["cmdline"])
            if (one.info["cmdline"] or [])[-1:] == [name]
        ]
        if not found or time.monotonic() > give_up_at:
            return found
        time.sleep(0.02)


def test_no_process_of_the_machine_is_seen(sandbox: Sandbox, workspace: Workspace) -> None:
    seen = run_in(sandbox, workspace, "sh", "-c", "ls /proc | grep -c '^[0-9]'")
    assert int(seen.stdout) < 8


def test_a_path_the_owner_shows_is_seen_and_cannot_be_changed(
    workspace: Workspace, tmp_path: Path
) -> None:
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


def test_what_lies_beside_a_tool_is_not_shown(python_apart: Path, workspace: Workspace) -> None:
    sandbox = choose_sandbox("required", f"{python_apart}/venv/bin:{PLAIN_PATH}")
    look = f"import os; print(os.path.exists('{python_apart}/private.txt'))"
    assert run_in(sandbox, workspace, "python", "-c", look).stdout == "False\n"


def test_a_tool_in_a_plain_directory_is_shown_alone(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "private.txt").write_text("swordfish")
    (tmp_path / "tool").write_text(f"#!/bin/sh\nls {tmp_path}\n")
    (tmp_path / "tool").chmod(0o755)
    done = run_in(choose_sandbox("required", PLAIN_PATH), workspace, str(tmp_path / "tool"))
    assert done.stdout == "tool\n"


def test_a_python_in_a_bin_of_the_home_does_not_show_the_home(
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


def test_a_system_path_that_comes_first_does_not_show_the_whole_machine(
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


def test_a_relative_command_is_the_trees_own_wherever_the_runner_started(
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
def test_a_program_that_is_nowhere_is_missed_before_anything_starts(
    sandbox: Sandbox, workspace: Workspace, program: str, tier: str
) -> None:
    chosen = sandbox if tier == "sandbox" else choose_sandbox("none", PLAIN_PATH)
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


def test_links_that_go_in_circles_end(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    with pytest.raises(FileNotFoundError):
        choose_sandbox("required", PLAIN_PATH).command([str(tmp_path / "one")], workspace)
