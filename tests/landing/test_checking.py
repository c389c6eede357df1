"""A check ends with one of four statuses, leaves no process alive, and its
output is bounded.
"""

import hashlib
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from gpt_cursor_runner.config import Check
from gpt_cursor_runner.landing.checking import (
    CheckResult,
    checks_digest,
    run_check,
)
from gpt_cursor_runner.landing.sandbox.ended import KEPT_BYTES
from gpt_cursor_runner.landing.sandbox.model import Sandbox
from gpt_cursor_runner.landing.workspace import Workspace
from gpt_cursor_runner.patch.faults import WorldFailed
from tests.building import SEARCH_PATH
from tests.running import wait_until
from tests.sandboxes import lay_out, make_sandbox

Run = Callable[..., CheckResult]
# Of `[["tests",["pytest","-q"],"passed",0,"none"]]`. Commits hold this digest,
# so it must never change.
DIGEST = "67f238434be54cd59fb999de3b401e6ba61a1e5397209fc91e3e74aa1cacec77"


@pytest.fixture(params=["bubblewrap", "none"])
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    return make_sandbox("required" if request.param == "bubblewrap" else "none", SEARCH_PATH)


@pytest.fixture
def workspace(tmp_path: Path, sandbox: Sandbox) -> Iterator[Workspace]:
    with Workspace(tmp_path / "workspaces" / "patch-1", sandbox.user) as workspace:
        lay_out(workspace, sandbox, {})
        yield workspace


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "evidence" / "1-check.log"


@pytest.fixture
def check(sandbox: Sandbox, workspace: Workspace, log: Path) -> Run:
    def run(
        *command: str, seconds: float = 20.0, tick: Callable[[], None] = lambda: None
    ) -> CheckResult:
        return run_check(
            Check(name="tests", command=command, timeout_seconds=seconds),
            workspace,
            sandbox,
            log,
            tick,
        )

    return run


def assert_ended(word: str) -> None:
    """Wait until no process has this word in its command line."""
    wait_until(lambda: not _runs(word), "a process of the check is still alive")


def _runs(word: str) -> bool:
    for process in psutil.process_iter(["cmdline", "status"]):
        command = " ".join(process.info["cmdline"] or [])
        if word in command and process.info["status"] != psutil.STATUS_ZOMBIE:
            return True
    return False


@pytest.fixture
def word(tmp_path: Path) -> str:
    """A number of seconds that only this test sleeps."""
    return f"3{int(hashlib.sha256(str(tmp_path).encode()).hexdigest()[:9], 16)}"


@pytest.mark.parametrize(
    ("script", "verdict", "code"),
    [("exit 0", "passed", 0), ("exit 1", "failed", 1), ("exit 77", "failed", 77)],
)
def test_the_exit_code_decides(check: Run, script: str, verdict: str, code: int) -> None:
    result = check("sh", "-c", script)
    assert (result.status, result.exit_code) == (verdict, code)


def test_a_check_ended_by_a_signal_has_failed(check: Run) -> None:
    assert check("sh", "-c", "kill -9 $$").status == "failed"


def test_the_output_of_both_streams_is_kept(check: Run, log: Path, sandbox: Sandbox) -> None:
    result = check("sh", "-c", "echo out; echo err >&2")
    assert (result.tail, log.read_text()) == ("out\nerr\n", "out\nerr\n")
    assert (result.name, result.command[0], result.tier, result.output_bytes) == (
        "tests",
        "sh",
        sandbox.tier,
        8,
    )
    assert result.output_sha256 == hashlib.sha256(b"out\nerr\n").hexdigest()
    assert result.seconds > 0


def test_the_standard_input_of_a_check_is_empty(check: Run) -> None:
    assert check("sh", "-c", "cat; tty").tail == "not a tty\n"


def test_a_check_is_ended_at_its_deadline(check: Run, word: str) -> None:
    began = time.monotonic()
    result = check("sh", "-c", f"echo begun; sleep {word}", seconds=0.3)
    assert result.status == "timed_out"
    assert result.tail == "begun\n"
    assert time.monotonic() - began >= 0.3
    assert_ended(word)


def test_a_check_that_ignores_signals_is_killed(check: Run, word: str) -> None:
    result = check("sh", "-c", f"trap '' TERM INT HUP; sleep {word} & sleep {word}", seconds=0.3)
    assert result.status == "timed_out"
    assert_ended(word)


def test_a_background_process_of_a_check_is_ended_with_it(check: Run, word: str) -> None:
    """The process ignores SIGTERM and holds the pipe open."""
    result = check("sh", "-c", f"(trap '' TERM; sleep {word}; true) & echo done")
    assert (result.status, result.tail) == ("passed", "done\n")
    assert_ended(word)


@pytest.mark.parametrize("sandbox", ["bubblewrap"], indirect=True)
def test_a_daemon_of_a_check_in_the_sandbox_is_ended_at_the_deadline(
    sandbox: Sandbox, workspace: Workspace, log: Path, word: str
) -> None:
    script = (
        f"setsid sh -c 'trap \"\" TERM HUP; sleep {word}' </dev/null >/dev/null 2>&1 & sleep {word}"
    )
    result = run_check(
        Check(name="tests", command=("sh", "-c", script), timeout_seconds=0.3),
        workspace,
        sandbox,
        log,
        lambda: None,
    )
    assert result.status == "timed_out"
    assert_ended(word)


@pytest.mark.parametrize("program", ["no-such-program", "./no-such-program", "/no/such/program"])
def test_a_missing_program_is_reported_as_not_started(check: Run, program: str) -> None:
    result = check(program, "--version")
    assert (result.status, result.exit_code) == ("not_started", None)
    assert program in result.tail


def test_a_script_without_its_interpreter_does_not_pass(
    check: Run, workspace: Workspace, sandbox: Sandbox
) -> None:
    lay_out(workspace, sandbox, {"check.sh": "#!/no/such/interpreter\n"})
    result = check("./check.sh")
    assert result.status == "not_started"
    assert "check.sh: No such file or directory" in result.tail


def test_a_flood_of_output_is_counted_and_kept_at_both_ends(check: Run, log: Path) -> None:
    size = 50_000_000
    script = f"import sys; sys.stdout.write('first line\\n' + 'x' * {size} + '\\nlast line\\n')"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = check("/usr/bin/python3", "-c", script)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert result.status == "passed"
    assert result.output_bytes == size + 22
    kept = log.read_bytes()
    assert len(kept) < KEPT_BYTES + 200_000
    assert kept.startswith(b"first line\n")
    assert kept.endswith(b"\nlast line\n")
    assert b"bytes left out" in kept
    assert grown < 20_000  # kilobytes


def test_output_within_the_bound_is_kept_complete(check: Run, log: Path) -> None:
    result = check("/usr/bin/python3", "-c", f"print('x' * {KEPT_BYTES - 1})")
    assert result.output_bytes == KEPT_BYTES == len(log.read_bytes())


def test_output_that_is_not_text_is_shown_with_replacements(check: Run, log: Path) -> None:
    result = check("printf", r"caf\351 \033[31mred\033[0m\000\r\n\tend\n")
    assert result.tail == "caf\ufffd red\n\tend\n"
    assert log.read_bytes() == b"caf\xe9 \x1b[31mred\x1b[0m\0\r\n\tend\n"


def test_a_check_that_closes_its_output_is_waited_for(check: Run) -> None:
    result = check("sh", "-c", "echo before; exec >&- 2>&-; sleep 0.4; exit 3")
    assert (result.status, result.exit_code, result.tail) == ("failed", 3, "before\n")
    assert result.seconds >= 0.4


def test_a_check_that_closes_its_output_has_a_deadline(check: Run, word: str) -> None:
    assert check("sh", "-c", f"exec >&- 2>&-; sleep {word}", seconds=0.3).status == "timed_out"
    assert_ended(word)


class Interrupted(Exception):
    """Raised by a tick to end a check."""


def test_an_interruption_ends_the_check_and_is_passed_on(check: Run, word: str) -> None:
    ticks: list[None] = []

    def tick() -> None:
        ticks.append(None)
        if len(ticks) == 3:
            raise Interrupted

    with pytest.raises(Interrupted):
        check("sh", "-c", f"sleep {word} & sleep {word}", tick=tick)
    assert len(ticks) == 3
    assert_ended(word)


def test_ticks_continue_during_a_flood_of_output(check: Run) -> None:
    ticks: list[None] = []
    check("sh", "-c", "timeout 0.9 yes; true", tick=lambda: ticks.append(None))
    assert len(ticks) >= 3


def test_a_process_group_that_cannot_be_noted_is_ended(
    check: Run, workspace: Workspace, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(workspace, "note_group", full)
    with pytest.raises(OSError, match="No space"):
        check("sleep", word)
    assert_ended(word)


@pytest.mark.parametrize("sandbox", ["bubblewrap"], indirect=True)
def test_a_sandbox_that_does_not_start_is_a_fault_of_ours(
    workspace: Workspace, log: Path, tmp_path: Path
) -> None:
    sandbox = make_sandbox(search_path=SEARCH_PATH, read_only=[tmp_path / "gone"])
    with pytest.raises(WorldFailed, match="No such file") as failed:
        run_check(
            Check(name="tests", command=("true",), timeout_seconds=5),
            workspace,
            sandbox,
            log,
            lambda: None,
        )
    assert failed.value.code == "sandbox_failed"
    assert "sandbox_read_only" in failed.value.next_step


@pytest.mark.parametrize("sandbox", ["bubblewrap"], indirect=True)
def test_a_sandbox_that_was_removed_is_a_fault_of_ours(
    workspace: Workspace, sandbox: Sandbox, log: Path
) -> None:
    removed = replace(sandbox, program="/no/such/bwrap")
    with pytest.raises(WorldFailed, match="/no/such/bwrap: No such file") as failed:
        run_check(Check(name="tests", command=("true",)), workspace, removed, log, lambda: None)
    assert failed.value.code == "sandbox_failed"


@pytest.mark.parametrize("sandbox", ["bubblewrap"], indirect=True)
@pytest.mark.parametrize("text", ["bwrap: no such thing", "bwrap: execvp tests: not found"])
def test_a_check_that_prints_as_the_sandbox_does_has_failed(check: Run, text: str) -> None:
    result = check("sh", "-c", f"echo '{text}' >&2; exit 1")
    assert (result.status, result.exit_code) == ("failed", 1)


@pytest.mark.parametrize("sandbox", ["bubblewrap"], indirect=True)
def test_a_sandbox_that_is_killed_gives_no_verdict(
    workspace: Workspace, sandbox: Sandbox, log: Path, word: str
) -> None:
    """As by the kernel when the machine runs out of memory: the sender is not to
    blame.
    """

    def kill_bubblewrap() -> None:
        for process in psutil.process_iter(["name", "cmdline"]):
            if process.info["name"] == "bwrap" and word in (process.info["cmdline"] or [])[-1:]:
                process.kill()

    with pytest.raises(WorldFailed, match="without a result") as failed:
        run_check(
            Check(name="tests", command=("sleep", word), timeout_seconds=20),
            workspace,
            sandbox,
            log,
            kill_bubblewrap,
        )
    assert failed.value.code == "sandbox_failed"


@pytest.mark.parametrize("sandbox", ["bubblewrap"], indirect=True)
def test_a_check_that_was_killed_runs_once_more(
    check: Run, workspace: Workspace, sandbox: Sandbox
) -> None:
    """A kill from outside and the check's own look alike."""
    lay_out(workspace, sandbox, {})
    script = "[ -e killed ] && exit 3; touch killed; kill -9 $$"
    assert check("sh", "-c", script).exit_code == 3


def test_the_digest_covers_results_and_not_durations() -> None:
    result = CheckResult(
        "tests", ("pytest", "-q"), "passed", 0, 1.5, "none", 10, "ab" * 32, "fine\n"
    )
    slower = replace(
        result, seconds=9.9, output_bytes=11, output_sha256="cd" * 32, tail="fine, later\n"
    )
    assert checks_digest([result]) == checks_digest([slower]) == DIGEST
    others = [
        replace(result, name="lint"),
        replace(result, command=("pytest", "-q", "x")),
        replace(result, status="failed"),
        replace(result, exit_code=1),
        replace(result, tier="bubblewrap"),
    ]
    digests = {checks_digest([result])}
    for other in others:
        digests.add(checks_digest([other]))
    assert len(digests) == 6
    assert checks_digest([result, others[0]]) != checks_digest([others[0], result])
