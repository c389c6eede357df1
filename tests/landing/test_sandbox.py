"""In the sandbox a command reaches the tree and its tools, and nothing else of
the machine.
"""

import ctypes
import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from gpt_cursor_runner.config import SandboxLimits
from gpt_cursor_runner.landing.sandbox import launcher
from gpt_cursor_runner.landing.sandbox.cgroup import NO_CGROUPS
from gpt_cursor_runner.landing.sandbox.choosing import prove_sandbox, sandbox_for
from gpt_cursor_runner.landing.sandbox.model import Mount, Sandbox
from gpt_cursor_runner.landing.tree_files import give
from gpt_cursor_runner.landing.workspace import Workspace
from gpt_cursor_runner.patch.faults import WorldFailed
from tests.sandboxes import (
    LIMITS,
    PLAIN_PATH,
    a_repository,
    lay_out,
    make_sandbox,
    run_in,
    text_of,
)

PYTHON = "/usr/bin/python3"


@pytest.fixture(params=["layered", "copied"])
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    return make_sandbox(is_layered=request.param == "layered")


@pytest.fixture
def workspace(tmp_path: Path, sandbox: Sandbox) -> Iterator[Workspace]:
    with Workspace(tmp_path / "workspaces" / "patch-1", sandbox.user) as workspace:
        lay_out(workspace, sandbox, {"given.txt": "given\n"})
        yield workspace


def test_a_command_starts_in_the_tree_and_may_write_there(
    sandbox: Sandbox, workspace: Workspace
) -> None:
    script = "pwd; cat given.txt; echo made > made.txt; echo x > $HOME/x && echo y > $TMPDIR/y"
    ended = run_in(sandbox, workspace, "sh", "-c", script)
    assert (text_of(ended), ended.exit_code) == ("/workspace\ngiven\n", 0)
    assert workspace.written("made.txt").read_text() == "made\n"


def test_a_working_directory_below_the_tree_is_entered(
    sandbox: Sandbox, workspace: Workspace
) -> None:
    lay_out(workspace, sandbox, {"packages/app/file": "x"})
    ended = run_in(sandbox, workspace, "pwd", working_directory="packages/app")
    assert text_of(ended) == "/workspace/packages/app\n"


def test_only_the_system_directories_of_the_machine_are_visible(
    sandbox: Sandbox, workspace: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("swordfish")
    hidden = [Path.home(), Path("/root"), Path("/srv"), Path("/sys"), Path("/opt")]
    hidden += [tmp_path, tmp_path / "secret", workspace.directory]
    hidden += [Path("/etc/shadow"), Path("/etc/ssl/private"), Path(__file__), Path(sys.prefix)]
    look = """if True:
        import json, os, sys
        visible = [path for path in sys.argv[1:] if os.path.exists(path)]
        print(json.dumps([visible, os.listdir("/home"), os.listdir("/")]))"""
    ended = run_in(sandbox, workspace, PYTHON, "-c", look, *map(str, hidden))
    visible, homes, top = json.loads(text_of(ended))
    assert visible == []
    assert homes == ["check"]
    expected = "bin sbin lib lib32 lib64 libx32 usr etc dev proc tmp home workspace var run"
    assert set(top) <= set(expected.split())


def test_nothing_outside_the_workspace_can_be_written(
    sandbox: Sandbox, workspace: Workspace, tmp_path: Path
) -> None:
    places = ["/", "/usr", "/etc", "/bin", "/home", "/proc", str(tmp_path)]
    script = """
        for place; do (echo x > "$place/gcr-was-here") 2>/dev/null && echo "$place"; done
        (echo x >> /etc/passwd) 2>/dev/null && echo changed
        mount -o remount,rw /usr 2>/dev/null && echo mounted
        true"""
    ended = run_in(sandbox, workspace, "sh", "-c", script, "sh", *places)
    assert (text_of(ended), ended.exit_code) == ("", 0)
    assert not [place for place in places if (Path(place) / "gcr-was-here").exists()]


def test_no_kernel_setting_can_be_written(sandbox: Sandbox, workspace: Workspace) -> None:
    script = (
        "find /proc -path '/proc/[0-9]*' -prune -o -type f -writable -print 2>/dev/null | head -3"
    )
    assert text_of(run_in(sandbox, workspace, "sh", "-c", script)) == ""


def test_no_device_of_the_machine_can_be_closed(sandbox: Sandbox, workspace: Workspace) -> None:
    devices = ["null", "zero", "full", "random", "urandom", "tty"]
    script = (
        "for d; do chmod 666 /dev/$d 2>/dev/null && echo $d; done; echo x > /dev/null && head -c 3"
        " /dev/zero | wc -c"
    )
    assert text_of(run_in(sandbox, workspace, "sh", "-c", script, "sh", *devices)) == "3\n"


# An ordinary machine.


def test_it_is_an_ordinary_machine(sandbox: Sandbox, workspace: Workspace) -> None:
    look = """if True:
        import getpass, locale, os, pwd, socket, tempfile
        print(socket.gethostbyname("localhost"), socket.gethostbyname(socket.gethostname()))
        print(socket.getservbyname("https"), socket.getprotobyname("tcp"))
        print(getpass.getuser(), pwd.getpwuid(os.getuid()).pw_dir, os.path.expanduser("~"))
        print(locale.getpreferredencoding(), "caf\\xe9")
        for directory in ("/tmp", "/var/tmp", "/run", "/dev/shm", os.path.expanduser("~")):
            tempfile.TemporaryFile(dir=directory)"""
    assert text_of(run_in(sandbox, workspace, PYTHON, "-c", look)).splitlines() == [
        "127.0.0.1 127.0.0.1",
        "443 6",
        "check /home/check /home/check",
        "UTF-8 caf\xe9",
    ]


def test_a_command_may_serve_itself_on_the_loopback(sandbox: Sandbox, workspace: Workspace) -> None:
    serve = """if True:
        import socket
        with socket.create_server(("localhost", 0)) as server:
            socket.create_connection(server.getsockname()[:2], 2)
            print("connected")
        socket.socket(socket.AF_UNIX).bind("/tmp/socket")"""
    assert text_of(run_in(sandbox, workspace, PYTHON, "-c", serve)) == "connected\n"


def test_threads_and_child_processes_work(sandbox: Sandbox, workspace: Workspace) -> None:
    work = """if True:
        import concurrent.futures, subprocess
        with concurrent.futures.ThreadPoolExecutor(8) as threads:
            print(sum(threads.map(int, ["1"] * 8)))
        with concurrent.futures.ProcessPoolExecutor(2) as processes:
            print(sum(processes.map(int, ["1"] * 8)))
        print(subprocess.run(["echo", "child"], capture_output=True, text=True).stdout)"""
    assert text_of(run_in(sandbox, workspace, PYTHON, "-c", work)).split() == ["8", "8", "child"]


# The network.


def test_no_port_of_the_machine_is_reached(sandbox: Sandbox, workspace: Workspace) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), 1):
            pass  # from here it is open
        call = f"import socket; socket.create_connection(('127.0.0.1', {port}), 2)"
        ended = run_in(sandbox, workspace, PYTHON, "-c", call)
        reached = run_in(sandbox, workspace, PYTHON, "-c", call, network="host")
    assert "ConnectionRefusedError" in text_of(ended)
    assert reached.status == "passed"


def test_no_interface_but_the_loopback_exists(sandbox: Sandbox, workspace: Workspace) -> None:
    look = "import socket; print([n for _, n in socket.if_nameindex()])"
    assert text_of(run_in(sandbox, workspace, PYTHON, "-c", look)) == "['lo']\n"


def test_without_a_network_no_socket_opens(sandbox: Sandbox, workspace: Workspace) -> None:
    look = """if True:
        import socket
        for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
            try:
                socket.socket(family)
                print(family)
            except OSError:
                pass
        socket.socketpair()"""
    ended = run_in(sandbox, workspace, PYTHON, "-c", look, network="none")
    assert (text_of(ended), ended.status) == ("", "passed")


@pytest.mark.parametrize("network", ["none", "loopback", "host"])
def test_an_abstract_socket_of_the_machine_is_not_reached(
    sandbox: Sandbox, workspace: Workspace, network: str
) -> None:
    name = f"\0gcr-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        server.listen()
        call = f"import socket; socket.socket(socket.AF_UNIX).connect({name!r})"
        ended = run_in(sandbox, workspace, PYTHON, "-c", call, network=network)
    assert ended.status == "failed"


# The environment.


def test_the_environment_has_no_secret_of_the_runner(
    sandbox: Sandbox, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GCR_KEY", "swordfish")
    ended = run_in(sandbox, workspace, "env", environment={"DATABASE_URL": "sqlite://"})
    variables = dict(line.split("=", 1) for line in text_of(ended).splitlines())
    expected = "PATH HOME USER LOGNAME SHELL TMPDIR LANG CI DATABASE_URL"
    assert set(variables) - {"PWD"} == set(expected.split())  # bubblewrap adds PWD
    assert (variables["PATH"], variables["CI"]) == (PLAIN_PATH, "true")


def test_without_a_sandbox_home_and_temporary_files_are_in_the_workspace(tmp_path: Path) -> None:
    sandbox = make_sandbox("none")
    with Workspace(tmp_path / "workspace") as workspace:
        variables = text_of(run_in(sandbox, workspace, "env")).splitlines()
        assert f"HOME={workspace.home}" in variables
        assert f"TMPDIR={workspace.tmp}" in variables


# Privileges.


def test_a_command_has_no_privileges(sandbox: Sandbox, workspace: Workspace) -> None:
    script = (
        "id -u; grep -E '^Cap(Eff|Prm|Bnd)' /proc/self/status | cut -f2 | sort -u;"
        " unshare -m true 2>/dev/null; echo $?; unshare -Ur true 2>/dev/null; echo $?"
    )
    user, privileges, mounts, nested = text_of(
        run_in(sandbox, workspace, "sh", "-c", script)
    ).split()
    assert (user, privileges) == ("1000", "0" * 16)
    assert mounts != "0"
    assert nested != "0"


def test_the_machine_does_not_run_a_command_as_root(sandbox: Sandbox, workspace: Workspace) -> None:
    run_in(sandbox, workspace, "touch", "made")
    assert workspace.written("made").stat().st_uid == (os.geteuid() or LIMITS_UID)


def test_a_debugger_cannot_attach(sandbox: Sandbox, workspace: Workspace) -> None:
    trace = "import ctypes; l = ctypes.CDLL(None, use_errno=True); print(l.ptrace(0, 0, 0, 0))"
    assert text_of(run_in(sandbox, workspace, PYTHON, "-c", trace)) == "-1\n"


@pytest.fixture
def session_key() -> Iterator[bytes]:
    """A key in the session keyring of this process."""
    libc = ctypes.CDLL(None, use_errno=True)
    name = f"gcr-test-{os.getpid()}".encode()
    serial = libc.syscall(ADD_KEY, b"user", name, b"swordfish", 9, SESSION_KEYRING)
    if serial < 0:
        pytest.skip("this kernel has no keyrings")
    yield name
    libc.syscall(KEYCTL, KEYCTL_INVALIDATE, serial)


ADD_KEY, KEYCTL = (248, 250) if os.uname().machine == "x86_64" else (217, 219)
SESSION_KEYRING = -3
KEYCTL_INVALIDATE = 21
LIMITS_UID = 65534


def test_the_keyring_of_the_runner_is_not_reached(
    sandbox: Sandbox, workspace: Workspace, session_key: bytes
) -> None:
    assert session_key in Path("/proc/keys").read_bytes()
    look = f"""if True:
        import ctypes, os
        libc = ctypes.CDLL(None, use_errno=True)
        results = [
            libc.syscall({ADD_KEY}, b"user", b"planted", b"x", 1, {SESSION_KEYRING}),
            libc.syscall({ADD_KEY + 1}, b"user", {session_key!r}, None, {SESSION_KEYRING}),
            libc.syscall({KEYCTL}, 0, {SESSION_KEYRING}, 0),
        ]
        print(results, {session_key.decode()!r} in open("/proc/keys").read())"""
    assert text_of(run_in(sandbox, workspace, PYTHON, "-c", look)) == "[-1, -1, -1] False\n"


def test_the_launcher_leaves_the_session_keyring(session_key: bytes) -> None:
    """Without the filter, and as the same user, the key would be found."""
    look = f"""if True:
        import ctypes
        libc = ctypes.CDLL(None)
        print(libc.syscall({ADD_KEY + 1}, b"user", {session_key!r}, None, {SESSION_KEYRING}))"""
    order: dict[str, object] = {"user": None, "namespace": False, "cgroups": [], "limits": {}}
    command = [PYTHON, "-c", look]
    here = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(here.stdout) > 0
    launched = [sys.executable, "-I", "-S", launcher.__file__, json.dumps(order), *command]
    there = subprocess.run(launched, capture_output=True, text=True, check=True)
    assert (there.stdout, there.stderr) == ("-1\n", "")


# Processes.


def test_a_daemon_is_ended_with_the_command(sandbox: Sandbox, workspace: Workspace) -> None:
    name = f"4{os.getpid()}{int(sandbox.layered)}"  # seconds that only this test sleeps
    script = f"setsid sh -c 'trap \"\" TERM HUP; sleep {name}' >/dev/null 2>&1 </dev/null &"
    ended = run_in(sandbox, workspace, "sh", "-c", f"{script} sleep 0.1")
    assert ended.status == "passed"
    assert not sleepers(name)


def sleepers(name: str) -> list[int]:
    """The processes with this last argument, after the moment they may need to
    end.
    """
    give_up_at = time.monotonic() + 2
    while True:
        pids = []
        for process in psutil.process_iter(["cmdline"]):
            if (process.info["cmdline"] or [])[-1:] == [name]:
                pids.append(process.pid)
        if not pids or time.monotonic() > give_up_at:
            return pids
        time.sleep(0.02)


def test_no_process_of_the_machine_is_visible(sandbox: Sandbox, workspace: Workspace) -> None:
    count = run_in(sandbox, workspace, "sh", "-c", "ls /proc | grep -c '^[0-9]'")
    assert int(text_of(count)) < 8


# Limits.


HOLD_MEMORY = "import time; held = bytearray(300 << 20); time.sleep(30)"
FORK_BOMB = """if True:
    import os, time
    while True:
        try:
            if os.fork() == 0:
                time.sleep(30)
        except BlockingIOError:
            time.sleep(0.1)"""


def limited(sandbox: Sandbox, **limits: int) -> Sandbox:
    values = LIMITS.model_dump() | limits
    changed = SandboxLimits(**values)
    return Sandbox(**{**vars(sandbox), "limits": changed})


@pytest.mark.parametrize(
    ("limits", "script", "name"),
    [
        ({"memory_mb": 100}, f"{PYTHON} -c '{HOLD_MEMORY}'", "memory"),
        ({"processes": 50}, f"{PYTHON} -c '{FORK_BOMB}'", "processes"),
        ({"tmp_mb": 10}, "head -c 20M /dev/zero > /tmp/x; sleep 9", "tmp"),
        ({"tmp_mb": 10}, "head -c 20M /dev/zero > $HOME/x; sleep 9", "tmp"),
        ({"file_mb": 5}, "exec dd if=/dev/zero of=x bs=1M count=9", "file"),
        ({"workspace_mb": 5}, "head -c 9M /dev/zero > x; sleep 9", "workspace"),
    ],
)
def test_a_command_over_a_limit_is_ended_and_the_limit_is_named(
    sandbox: Sandbox, workspace: Workspace, limits: dict[str, int], script: str, name: str
) -> None:
    ended = run_in(limited(sandbox, **limits), workspace, "sh", "-c", script)
    assert (ended.status, ended.limit) == ("over_limit", name)


@pytest.mark.parametrize("sandbox", ["layered"], indirect=True)
def test_the_kernel_bounds_the_processes(workspace: Workspace, sandbox: Sandbox) -> None:
    script = "i=0; while [ $i -lt 90 ]; do sleep 9 & i=$((i + 1)); done; echo all"
    alone = replace(limited(sandbox, processes=50), cgroups=NO_CGROUPS)
    ended = run_in(alone, workspace, "sh", "-c", script)
    assert ended.status == "failed"
    assert "all" not in text_of(ended)


def test_a_closed_pipe_ends_a_command(sandbox: Sandbox, workspace: Workspace) -> None:
    """Python ignores SIGPIPE, and so would the programs that it starts."""
    assert text_of(run_in(sandbox, workspace, "sh", "-c", "yes | head -n 1")) == "y\n"


def test_a_command_within_its_limits_passes(sandbox: Sandbox, workspace: Workspace) -> None:
    strict = limited(sandbox, processes=20, memory_mb=100, file_mb=5, workspace_mb=5, tmp_mb=10)
    script = "head -c 4M /dev/zero > x; head -c 8M /dev/zero > /tmp/x; sleep 1.2"
    assert run_in(strict, workspace, "sh", "-c", script).status == "passed"


# Directories that are shown beside the tree.


def test_a_path_that_the_owner_shows_is_visible_and_cannot_be_changed(
    workspace: Workspace, tmp_path: Path, sandbox: Sandbox
) -> None:
    shown = tmp_path / "shown"
    shown.mkdir()
    (shown / "data").write_text("data\n")
    chosen = make_sandbox(read_only=[shown], is_layered=sandbox.layered)
    ended = run_in(chosen, workspace, "sh", "-c", f"cat {shown}/data; echo x > {shown}/data")
    assert text_of(ended).startswith("data\n")
    assert "Read-only file system" in text_of(ended)
    assert (shown / "data").read_text() == "data\n"


def test_a_mount_keeps_what_is_written_when_it_is_writable(
    sandbox: Sandbox, workspace: Workspace, tmp_path: Path
) -> None:
    cache, layer = tmp_path / "cache", tmp_path / "layer"
    for directory in (cache, layer):
        directory.mkdir()
        give(sandbox.user, directory)
    mounts = [
        Mount(cache, "/home/check/.cache/tool", writable=True),
        Mount(layer, "/workspace/.venv"),
    ]
    script = "echo kept > ~/.cache/tool/file; echo lost > .venv/file"
    ended = run_in(sandbox, workspace, "sh", "-c", script, mounts=mounts)
    assert "Read-only file system" in text_of(ended)
    assert (cache / "file").read_text() == "kept\n"


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
    python_apart: Path, workspace: Workspace, sandbox: Sandbox, command: list[str]
) -> None:
    chosen = make_sandbox(
        search_path=f"{python_apart}/venv/bin:{PLAIN_PATH}", is_layered=sandbox.layered
    )
    assert text_of(run_in(chosen, workspace, *command)) == f'"{python_apart}/venv"\n'


def test_the_directories_beside_a_tool_are_hidden(
    python_apart: Path, workspace: Workspace, sandbox: Sandbox
) -> None:
    chosen = make_sandbox(
        search_path=f"{python_apart}/venv/bin:{PLAIN_PATH}", is_layered=sandbox.layered
    )
    look = f"import os; print(os.path.exists('{python_apart}/private.txt'))"
    assert text_of(run_in(chosen, workspace, "python", "-c", look)) == "False\n"


def test_a_tool_in_a_plain_directory_is_visible_alone(
    workspace: Workspace, sandbox: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "private.txt").write_text("swordfish")
    (tmp_path / "tool").write_text(f"#!/bin/sh\nls {tmp_path}\n")
    (tmp_path / "tool").chmod(0o755)
    assert text_of(run_in(sandbox, workspace, str(tmp_path / "tool"))) == "tool\n"


def test_a_python_in_a_local_bin_does_not_show_its_prefix(
    workspace: Workspace, sandbox: Sandbox, tmp_path: Path
) -> None:
    """As with `~/.local/bin/python3`, beside which lie `lib/python3.11` and the
    runner's own state.
    """
    local = tmp_path / ".local"
    for name in ("bin", "lib/python3.11", "state"):
        (local / name).mkdir(parents=True)
    (local / "state" / "ledger.db").write_text("swordfish")
    (local / "bin" / "python3").symlink_to("/usr/bin/python3")
    chosen = make_sandbox(search_path=f"{local}/bin:{PLAIN_PATH}", is_layered=sandbox.layered)
    look = f"import os; print(sorted(os.listdir('{local}')))"
    assert text_of(run_in(chosen, workspace, "python3", "-c", look)) == "['bin', 'lib']\n"


def test_a_relative_command_is_that_of_the_tree(
    sandbox: Sandbox, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started_in = tmp_path / "started-in"
    started_in.mkdir()
    (started_in / "check.sh").write_text("#!/bin/sh\necho runner\n")
    (started_in / "check.sh").chmod(0o755)
    lay_out(workspace, sandbox, {"check.sh": f"#!/bin/sh\necho tree; ls {started_in} 2>&1\n"})
    monkeypatch.chdir(started_in)
    ended = run_in(sandbox, workspace, "./check.sh")
    assert text_of(ended).splitlines()[0] == "tree"
    assert "No such file or directory" in text_of(ended)


def test_a_chain_of_links_is_followed_to_its_end(
    workspace: Workspace, sandbox: Sandbox, tmp_path: Path
) -> None:
    real = tmp_path / "store" / "tool-1.0" / "bin"
    real.mkdir(parents=True)
    shutil.copy("/bin/sh", real / "tool")
    (tmp_path / "store" / "tool-1").symlink_to("tool-1.0")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "tool").symlink_to("../store/tool-1/bin/tool")
    chosen = make_sandbox(search_path=f"{tmp_path}/bin:{PLAIN_PATH}", is_layered=sandbox.layered)
    assert text_of(run_in(chosen, workspace, "tool", "-c", "echo well")) == "well\n"


def test_links_in_a_circle_are_no_program(
    workspace: Workspace, sandbox: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    assert run_in(sandbox, workspace, str(tmp_path / "one")).status == "not_started"


# The owner's work tree.


def test_a_virtual_environment_of_the_work_tree_is_not_used(tmp_path: Path) -> None:
    """It imports the owner's files in place of the sealed tree."""
    work_tree = tmp_path / "app"
    venv.create(work_tree / ".venv", symlinks=True, with_pip=False)
    search_path = f"{work_tree}/.venv/bin:{PLAIN_PATH}"
    chosen = make_sandbox(search_path=search_path, work_trees=[work_tree])
    assert chosen.tools.search_path == PLAIN_PATH
    assert chosen.tools.read_only == ()


@pytest.mark.parametrize("shown", ["app/src", "app", "."])
def test_a_work_tree_cannot_be_shown(tmp_path: Path, shown: str) -> None:
    work_tree = tmp_path / "app"
    (work_tree / "src").mkdir(parents=True)
    with pytest.raises(WorldFailed, match="owner's work tree") as failed:
        make_sandbox(read_only=[tmp_path / shown], work_trees=[work_tree])
    assert failed.value.code == "sandbox_shows_work_tree"


# Which sandbox works here.


def a_bwrap(directory: Path, script: str, interpreter: str = "/bin/sh") -> str:
    """A search path on which bubblewrap is this script."""
    program = directory / "bin" / "bwrap"
    program.parent.mkdir()
    program.write_text(f"#!{interpreter}\n{script}\n")
    program.chmod(0o755)
    return f"{program.parent}:{PLAIN_PATH}"


def test_a_required_sandbox_that_is_missing_is_a_fault_of_the_machine(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    proof = prove_sandbox(str(tmp_path / "bin"), LIMITS, tmp_path)
    with pytest.raises(WorldFailed, match="bubblewrap is not installed") as failed:
        sandbox_for(a_repository("required"), proof, PLAIN_PATH, [])
    assert failed.value.code == "sandbox_unavailable"
    assert "Install bubblewrap" in failed.value.next_step


def test_the_best_sandbox_may_be_none_and_gives_the_reason(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    proof = prove_sandbox(str(tmp_path / "bin"), LIMITS, tmp_path)
    chosen = sandbox_for(a_repository("best"), proof, PLAIN_PATH, [])
    assert (chosen.tier, chosen.why) == ("none", "bubblewrap is not installed")


def test_an_owner_who_wants_no_sandbox_gets_none() -> None:
    chosen = make_sandbox("none")
    assert (chosen.tier, chosen.why) == ("none", "the owner asked for none")


def test_a_sandbox_that_does_not_start_is_no_sandbox(tmp_path: Path, open_directory: Path) -> None:
    """As on Ubuntu 24.04, which denies user namespaces to unknown programs."""
    search_path = a_bwrap(
        open_directory, "echo 'bwrap: setting up uid map: Permission denied'; exit 1"
    )
    proof = prove_sandbox(search_path, LIMITS, tmp_path)
    assert proof.code == "broken"
    assert "setting up uid map: Permission denied" in proof.why


def test_a_sandbox_that_does_not_confine_is_no_sandbox(
    tmp_path: Path, open_directory: Path
) -> None:
    """A program of that name which only runs the command."""
    script = """if True:
        import json, os, subprocess, sys
        arguments = sys.argv
        status = int(arguments[arguments.index("--json-status-fd") + 1])
        code = subprocess.call(arguments[arguments.index("--") + 1 :])
        os.write(status, json.dumps({"exit-code": code}).encode())"""
    proof = prove_sandbox(a_bwrap(open_directory, script, PYTHON), LIMITS, tmp_path)
    assert proof.code == "broken"
    assert "the network interface" in proof.why
    assert "the process has Seccomp: 0" in proof.why


def test_a_trial_that_does_not_end_proves_nothing(
    tmp_path: Path, open_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow bubblewrap must not make patches run without a sandbox."""
    monkeypatch.setattr("gpt_cursor_runner.landing.sandbox.canary.SECONDS", 0.5)
    proof = prove_sandbox(a_bwrap(open_directory, "exec sleep 60"), LIMITS, tmp_path)
    assert proof.code == "unknown"
    with pytest.raises(WorldFailed, match="did not end"):
        sandbox_for(a_repository("best"), proof, PLAIN_PATH, [])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root drops its privileges")
@pytest.mark.parametrize("user", ["root", "no-such-user"])
def test_root_runs_no_command_as_root(tmp_path: Path, user: str) -> None:
    proof = prove_sandbox(PLAIN_PATH, SandboxLimits(user=user), tmp_path)
    assert proof.code == "no_user"
    assert f"there is no user {user} to run checks as" in proof.why
    assert "useradd" in proof.next_step


def has_service_user() -> bool:
    return any(entry.pw_name == SandboxLimits().user for entry in pwd.getpwall())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root drops its privileges")
@pytest.mark.skipif(not has_service_user(), reason="the service user is not installed")
def test_root_runs_commands_as_the_service_user(tmp_path: Path) -> None:
    proof = prove_sandbox(PLAIN_PATH, SandboxLimits(), tmp_path)
    assert proof.code == "works"
    assert proof.sandbox is not None
    assert proof.sandbox.user is not None
    assert proof.sandbox.user.uid == pwd.getpwnam("gpt-cursor-runner").pw_uid
