"""Checks of patches in the sandbox: they see the sealed tree, and nothing of the
owner's.
"""

import sys
import venv
from pathlib import Path

import pytest

from gpt_cursor_runner.config import Check, Setup
from gpt_cursor_runner.landing.readiness import obstacles
from gpt_cursor_runner.patch.status import Status
from tests.runner.builders import Ghost, shell_check
from tests.runner.conftest import MakeGhost

BREAK = [{"type": "str_replace", "path": "src/app.py", "old": "return 1", "new": "return 2"}]
MEND = [{"type": "str_replace", "path": "src/app.py", "old": "return 1", "new": "return 1 + 0"}]
SOURCES = {
    "src/app.py": "def answer():\n    return 1\n",
    "tests/check.py": "import app\nassert app.answer() == 1, app.__file__\n",
    "pins.txt": "one\n",
    ".gitignore": ".venv/\n",
}
# An editable installation is a file that names the directory of the sources.
INSTALL = (
    "python3 -m venv --without-pip .venv && cat pins.txt"
    " && for place in .venv/lib/python3*/site-packages; do echo /workspace/src > $place/app.pth; done"
)
TESTS = Check(name="tests", command=(".venv/bin/python", "tests/check.py"))


def a_setup(script: str = INSTALL) -> Setup:
    return Setup(command=("sh", "-c", script), keyed_by=("pins.txt",), provides=(".venv",))


VERSION = ".".join(map(str, sys.version_info[:2]))


@pytest.fixture
def ghost(make_ghost: MakeGhost) -> Ghost:
    """A repository with a src layout, and an editable environment of the owner
    in the work tree.
    """
    ghost = make_ghost(sandbox="required", setup=(a_setup(),), checks=(TESTS,))
    ghost.repo.commit(SOURCES)
    work_tree = ghost.repo.path
    venv.create(work_tree / ".venv", symlinks=True)
    packages = work_tree / ".venv/lib" / f"python{VERSION}" / "site-packages"
    (packages / "app.pth").write_text(f"{work_tree}/src\n")
    return ghost


def test_a_broken_patch_is_refused_although_the_owners_files_are_well(ghost: Ghost) -> None:
    refused = ghost.finish(ghost.send(changes=BREAK))
    assert refused.status is Status.REJECTED
    assert refused.outcome is not None
    assert "/workspace/src/app.py" in refused.outcome["errors"][0]["expected"][-1]


def test_a_good_patch_lands_although_the_owners_files_are_broken(ghost: Ghost) -> None:
    ghost.repo.write({"src/app.py": "def answer():\n    return 1\n\nraise SystemExit(1)\n"})
    held = ghost.finish(ghost.send(changes=MEND))
    assert held.outcome is not None
    assert held.outcome["code"] == "checkout_in_the_way"
    assert ghost.events(held.id, "checked")[-1].data["verdict"] == "passed"


def test_an_environment_of_the_work_tree_is_not_in_the_sealed_tree(ghost: Ghost) -> None:
    """Without setup the check has no Python: the owner is told, not the sender."""
    ghost.repository = ghost.repository.model_copy(update={"setup": ()})
    (fault,) = obstacles(ghost.repository, ghost.machine)
    assert fault.code == "program_missing"
    assert ".venv/bin/python is neither" in fault.message


def test_setup_runs_once_for_the_patches_that_leave_its_files_alone(ghost: Ghost) -> None:
    ids = [ghost.send(), ghost.send(changes=MEND)]
    ghost.finish(*ids)
    seconds = [ghost.events(patch_id, "prepared")[0].data["seconds"] for patch_id in ids]
    assert seconds[0] is not None
    assert seconds[1] is None


NEW_PIN = [{"type": "upsert", "path": "pins.txt", "contents": "two\n"}]


def test_a_patch_that_changes_what_setup_installs_from_waits_for_approval(ghost: Ghost) -> None:
    held = ghost.finish(ghost.send(changes=NEW_PIN))
    assert held.status is Status.HELD
    assert held.outcome is not None
    assert "pins.txt" in held.outcome["message"]
    assert "prepared" not in ghost.kinds(held.id)
    ghost.ledger.decisions.approve(held.id, "the owner", ghost.clock())
    assert ghost.finish(held.id).status is Status.LANDED
    assert ghost.events(held.id, "prepared")[0].data["seconds"] is not None


def test_an_owner_who_approves_nothing_lets_setup_run(ghost: Ghost) -> None:
    ghost.repository = ghost.repository.model_copy(update={"approval": "never"})
    assert ghost.finish(ghost.send(changes=NEW_PIN)).status is Status.LANDED


def test_a_setup_that_fails_on_the_changed_files_refuses_the_patch(ghost: Ghost) -> None:
    fails = a_setup("grep -q one pins.txt || { echo no such version; exit 1; }; " + INSTALL)
    ghost.repository = ghost.repository.model_copy(update={"setup": (fails,), "approval": "never"})
    refused = ghost.finish(ghost.send(changes=NEW_PIN))
    assert refused.status is Status.REJECTED
    assert refused.outcome is not None
    (fault,) = refused.outcome["errors"]
    assert (fault["code"], fault["expected"]) == ("setup_failed", ["no such version"])


def test_a_setup_that_fails_on_unchanged_files_is_not_a_fault_of_the_sender(
    ghost: Ghost,
) -> None:
    ghost.repository = ghost.repository.model_copy(update={"setup": (a_setup("exit 1"),)})
    ghost.send(changes=MEND)
    with pytest.raises(Exception, match="the patch changes none of the files"):
        ghost.attempt()


def test_a_check_over_a_limit_is_refused_with_its_name(ghost: Ghost) -> None:
    hungry = shell_check("grep -q 'return 1$' src/app.py || exec head -c 99M /dev/zero > x")
    ghost.repository = ghost.repository.model_copy(update={"setup": (), "checks": (hungry,)})
    refused = ghost.finish(ghost.send(changes=MEND))
    assert refused.outcome is not None
    (fault,) = refused.outcome["errors"]
    assert fault["code"] == "check_over_limit"
    assert fault["message"].endswith("file size (sandbox.file_mb)")


def test_each_report_names_the_sandbox(ghost: Ghost) -> None:
    landed = ghost.finish(ghost.send(changes=MEND))
    (checked,) = ghost.events(landed.id, "checked")
    assert (checked.data["tier"], checked.data["sandbox_missing"]) == ("bubblewrap", "")
    report = ghost.report(landed.id)
    assert "sandbox bubblewrap" in report
    assert "Setup, made in " in report


def test_a_check_reaches_nothing_of_the_owners(ghost: Ghost) -> None:
    (Path(ghost.place) / "secret.txt").write_text("swordfish")
    script = f"! ls {ghost.repo.path} {ghost.place}/secret.txt {ghost.state.dir} 2>/dev/null"
    ghost.repository = ghost.repository.model_copy(
        update={"setup": (), "checks": (shell_check(script),)}
    )
    assert ghost.finish(ghost.send(changes=MEND)).status is Status.LANDED


COUNTED = shell_check("echo Ran $(cat tests/* | grep -c assert) tests in 0.1s")
FEWER = [{"type": "delete", "path": "tests/check.py"}]
MORE_TESTS = {"tests/more.py": "assert True\n"}


@pytest.fixture
def counted(make_ghost: MakeGhost) -> Ghost:
    """A repository with two tests, whose check exits with 0 however many run."""
    ghost = make_ghost(checks=[COUNTED])
    ghost.repo.commit(SOURCES | MORE_TESTS)
    ghost.finish(ghost.send(changes=MEND))
    return ghost


def test_a_patch_that_makes_fewer_tests_run_waits_for_a_person(counted: Ghost) -> None:
    held = counted.finish(counted.send(changes=FEWER))
    assert held.status is Status.HELD
    assert held.outcome is not None
    assert held.outcome["message"] == "the check 'tests' ran 1 tests, and 2 without the patch"
    counted.ledger.decisions.approve(held.id, "the owner", counted.clock())
    assert counted.finish(held.id).status is Status.LANDED
    assert counted.finish(counted.send()).status is Status.LANDED


def test_an_owner_who_removed_tests_does_not_hold_a_patch(counted: Ghost) -> None:
    counted.repo.run("rm", "--quiet", "tests/more.py")
    counted.repo.run("commit", "--quiet", "-m", "Remove a test")
    assert counted.finish(counted.send()).status is Status.LANDED


def test_a_check_without_any_test_does_not_pass(counted: Ghost) -> None:
    paths = ("tests/check.py", "tests/more.py")
    refused = counted.finish(
        counted.send(changes=[{"type": "delete", "path": path} for path in paths])
    )
    assert refused.status is Status.REJECTED
    assert refused.outcome is not None
    (fault,) = refused.outcome["errors"]
    assert (fault["code"], fault["message"]) == ("check_no_tests", "the check 'tests' ran no test")


def test_a_secret_of_a_check_is_in_no_log_report_or_answer(make_ghost: MakeGhost) -> None:
    script = """if True:
        import base64, os, sys, urllib.parse
        token = os.environ["API_TOKEN"]
        for text in (token[:5], token[5:], "\\n", urllib.parse.quote(token), "\\n"):
            sys.stdout.write(text)
            sys.stdout.flush()
        print(base64.b64encode(f"user:{token}".encode()).decode())
        raise SystemExit(os.path.exists("notes"))"""
    check = Check(
        name="tests",
        command=("/usr/bin/python3", "-c", script),
        environment={"API_TOKEN": "sword/fish-42"},
    )
    ghost = make_ghost(sandbox="required", checks=[check])
    refused = ghost.finish(ghost.send())
    assert refused.status is Status.REJECTED
    (log,) = (
        text for name, text in ghost.evidence(refused.id).check_logs().items() if "01" in name
    )
    assert log.splitlines()[:2] == ["***", "***"]
    texts = [
        log,
        ghost.report(refused.id),
        str(refused.outcome),
        str(ghost.events(refused.id, "checked")),
    ]
    for text in texts:
        for secret in ("sword/fish-42", "sword%2Ffish", "c3dvcmQvZmlzaC"):
            assert secret not in text
