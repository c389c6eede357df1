"""One patch, once, against a real repository: how each attempt ends, and what it
leaves behind.
"""

from __future__ import annotations

import pytest

from gpt_cursor_runner.config import Check
from gpt_cursor_runner.patch.faults import WorldFailed
from gpt_cursor_runner.patch.status import Status
from gpt_cursor_runner.runner.attempt import MAX_ATTEMPTS
from gpt_cursor_runner.runner.owed_reports import OwedReports
from tests.runner.builders import Ghost, check_of_patches, shell_check
from tests.runner.conftest import MakeGhost

EDIT = [{"type": "str_replace", "path": "greeting.py", "old": '"hi"', "new": '"hello"'}]


def test_a_sound_patch_lands_with_trailers_tag_evidence_and_report(ghost: Ghost) -> None:
    patch_id = ghost.send(
        id="patch-v1.2.3(P1)_greet", title="Greet", description="Said politely.", changes=EDIT
    )
    landed = ghost.finish(patch_id)
    assert landed.status is Status.LANDED
    assert ghost.repo.show("greeting.py") == 'def greet():\n    return "hello"'
    assert ghost.repo.run("log", "-1", "--format=%s") == "[PATCH P1] greet — Greet"
    trailers = dict(
        line.split(": ", 1)
        for line in ghost.repo.run("log", "-1", "--format=%(trailers:only,unfold)").splitlines()
    )
    assert trailers["Patch-Id"] == patch_id
    assert trailers["Patch-Digest"] == landed.digest
    assert trailers["Submitted-By"] == "a test"
    assert trailers["Checked-Tree"] == ghost.repo.tip("main^{tree}")
    assert len(trailers["Checks-Digest"]) == 64
    assert "Approved-By" not in trailers
    assert ghost.repo.tip(f"{patch_id}^{{commit}}") == ghost.repo.tip()
    assert b'-    return "hi"' in (ghost.evidence(patch_id).diff() or b"")
    assert ghost.evidence(patch_id).check_logs() == {"01-tests": "checked\n"}
    assert "The patch landed." in ghost.report(patch_id)
    assert ghost.sealed_refs() == []


def test_the_owners_checkout_follows_the_branch(ghost: Ghost) -> None:
    landed = ghost.finish(ghost.send(changes=EDIT))
    assert (ghost.repo.path / "greeting.py").read_text() == 'def greet():\n    return "hello"\n'
    assert ghost.repo.run("status", "--porcelain") == ""
    assert landed.outcome is not None
    assert landed.outcome["checkout"] == str(ghost.repo.path)


def test_a_failing_check_leaves_every_byte_of_the_repository_as_it_was(
    make_ghost: MakeGhost,
) -> None:
    ghost = make_ghost(checks=[check_of_patches("echo one is not two; exit 3")])
    before = ghost.repo.state()
    refused = ghost.finish(ghost.send(changes=EDIT))
    assert refused.status is Status.REJECTED
    assert refused.outcome is not None
    assert refused.outcome["code"] == "checks_failed"
    fault = refused.outcome["errors"][0]
    assert fault["code"] == "check_failed"
    assert fault["message"] == "the check 'tests' failed with exit code 3"
    assert fault["expected"] == ["one is not two"]
    assert ghost.repo.state() == before
    assert ghost.sealed_refs() == []


def test_the_seal_is_deleted_before_the_refusal_is_visible(
    make_ghost: MakeGhost, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The report, which has a thread of its own, would delete it as well.
    monkeypatch.setattr(OwedReports, "write_some", lambda _: None)
    ghost = make_ghost(checks=[check_of_patches("exit 1")])
    patch_id = ghost.send(changes=EDIT)
    ghost.work_until(lambda: ghost.get(patch_id).status is Status.REJECTED)
    assert ghost.get(patch_id).reported_at is None
    assert ghost.sealed_refs() == []


def test_a_check_that_takes_too_long_refuses_the_patch(make_ghost: MakeGhost) -> None:
    ghost = make_ghost(checks=[check_of_patches("sleep 60", timeout_seconds=0.3)])
    refused = ghost.finish(ghost.send())
    assert refused.outcome is not None
    assert refused.outcome["errors"][0]["code"] == "check_timed_out"


def test_a_missing_program_of_the_machine_is_not_a_fault_of_the_sender(
    make_ghost: MakeGhost,
) -> None:
    ghost = make_ghost(checks=[Check(name="tests", command=("no-such-program",))])
    ghost.send()
    with pytest.raises(WorldFailed, match="could not be started") as lacking:
        ghost.attempt()
    assert "runner.toml" in lacking.value.next_step


def test_a_program_of_the_repository_that_the_patch_deletes_is_one(make_ghost: MakeGhost) -> None:
    ghost = make_ghost(checks=[Check(name="tests", command=("./check.sh",))])
    ghost.repo.write({"check.sh": "#!/bin/sh\n"})
    (ghost.repo.path / "check.sh").chmod(0o755)
    ghost.repo.commit({})
    refused = ghost.finish(ghost.send(changes=[{"type": "delete", "path": "check.sh"}]))
    assert refused.status is Status.REJECTED
    assert refused.outcome is not None
    assert refused.outcome["errors"][0]["code"] == "check_not_started"


def test_no_check_runs_after_the_first_failing_one(make_ghost: MakeGhost) -> None:
    ghost = make_ghost(
        checks=[check_of_patches("exit 1", "lint"), shell_check("echo never", "tests")]
    )
    refused = ghost.finish(ghost.send())
    assert list(ghost.evidence(refused.id).check_logs()) == ["01-lint", "without-patch-lint"]


def test_a_check_that_fails_without_the_patch_is_not_a_fault_of_the_sender(
    make_ghost: MakeGhost,
) -> None:
    ghost = make_ghost(checks=[shell_check("echo the database is down; exit 127")])
    failed = ghost.finish(ghost.send(changes=EDIT))
    assert failed.status is Status.FAILED
    assert failed.attempts == 1
    assert failed.outcome is not None
    assert failed.outcome["code"] == "check_fails_on_branch"
    assert "on main without the patch as well" in failed.outcome["message"]
    (compared,) = ghost.events(failed.id, "compared")
    assert (compared.data["exit_code"], compared.data["tail"]) == (127, "the database is down\n")


def test_an_advisory_check_that_fails_refuses_nothing(make_ghost: MakeGhost) -> None:
    advisory = shell_check("exit 1", "lint").model_copy(update={"required": False})
    ghost = make_ghost(checks=[advisory, shell_check("true", "tests")])
    landed = ghost.finish(ghost.send(changes=EDIT))
    assert landed.status is Status.LANDED
    verdicts = [
        (event.data["name"], event.data["verdict"]) for event in ghost.events(landed.id, "checked")
    ]
    assert verdicts == [("lint", "failed"), ("tests", "passed")]


def test_a_refused_plan_is_stored_with_its_faults(ghost: Ghost) -> None:
    before = ghost.repo.state()
    missing = [{"type": "str_replace", "path": "greeting.py", "old": "farewell", "new": "bye"}]
    refused = ghost.finish(ghost.send(changes=missing))
    assert refused.status is Status.REJECTED
    assert refused.outcome is not None
    assert refused.outcome["code"] == "plan_refused"
    assert [(error["code"], error["path"]) for error in refused.outcome["errors"]] == [
        ("no_match", "greeting.py")
    ]
    assert ghost.repo.state() == before
    assert "sealed" not in ghost.kinds(refused.id)


def test_a_protected_path_is_held_and_lands_once_approved(ghost: Ghost) -> None:
    before = ghost.repo.tip()
    held = ghost.finish(
        ghost.send(changes=[{"type": "upsert", "path": "Makefile", "contents": "all:\n"}])
    )
    assert held.status is Status.HELD
    assert held.outcome is not None
    assert held.outcome["protected_paths"] == ["Makefile"]
    assert ghost.repo.tip() == before
    assert len(ghost.sealed_refs()) == 1
    ghost.ledger.decisions.approve(held.id, "the owner", ghost.clock())
    assert ghost.finish(held.id).status is Status.LANDED
    assert "Approved-By: the owner" in ghost.repo.run("log", "-1", "--format=%B")
    assert ghost.sealed_refs() == []


def test_a_held_patch_that_is_rejected_leaves_no_sealed_ref(ghost: Ghost) -> None:
    held = ghost.finish(
        ghost.send(changes=[{"type": "upsert", "path": "Makefile", "contents": "all:\n"}])
    )
    ghost.ledger.decisions.reject(held.id, "the owner", ghost.clock(), "Not this way")
    refused = ghost.finish(held.id)
    assert refused.outcome == {"code": "rejected_by_owner", "message": "Not this way"}
    assert ghost.sealed_refs() == []
    assert "Not this way" in ghost.report(held.id)


def test_a_patch_approved_and_held_many_times_is_not_counted_as_poison(
    make_ghost: MakeGhost,
) -> None:
    ghost = make_ghost()
    ghost.repo.write({"greeting.py": "mine\n"})
    patch_id = ghost.send(changes=EDIT)
    for _ in range(MAX_ATTEMPTS + 1):
        assert ghost.finish(patch_id).status is Status.HELD
        ghost.ledger.decisions.approve(patch_id, "the owner", ghost.clock())
    ghost.repo.run("checkout", "--", "greeting.py")
    assert ghost.finish(patch_id).status is Status.LANDED


def test_uncommitted_work_in_the_way_holds_the_patch_and_is_left_alone(ghost: Ghost) -> None:
    ghost.repo.write({"greeting.py": "mine, unfinished\n"})
    before = ghost.repo.tip()
    held = ghost.finish(ghost.send(changes=EDIT))
    assert held.status is Status.HELD
    assert held.outcome is not None
    assert held.outcome["code"] == "checkout_in_the_way"
    assert (ghost.repo.path / "greeting.py").read_text() == "mine, unfinished\n"
    assert ghost.repo.tip() == before
    ghost.repo.run("checkout", "--quiet", "-b", "aside")
    ghost.repo.run("commit", "--quiet", "-am", "Put away")
    ghost.repo.run("checkout", "--quiet", "main")
    ghost.ledger.decisions.approve(held.id, "the owner", ghost.clock())
    assert ghost.finish(held.id).status is Status.LANDED
    assert ghost.repo.show("greeting.py", "aside") == "mine, unfinished"


def test_unrelated_uncommitted_work_survives_a_landing(ghost: Ghost) -> None:
    ghost.repo.write({"README.md": "# Being rewritten\n", "draft.txt": "untracked\n"})
    assert ghost.finish(ghost.send(changes=EDIT)).status is Status.LANDED
    assert ghost.repo.run("status", "--porcelain") == " M README.md\n?? draft.txt"
    assert (ghost.repo.path / "README.md").read_text() == "# Being rewritten\n"


def test_a_patch_made_for_an_older_commit_is_carried_to_the_tip(ghost: Ghost) -> None:
    base = ghost.repo.tip()
    tip = ghost.repo.commit({"other.txt": "newer\n"})
    landed = ghost.finish(ghost.send(changes=EDIT, base=base))
    assert landed.status is Status.LANDED
    assert ghost.repo.tip("main^") == tip
    assert ghost.repo.show("other.txt") == "newer"
    assert "carried" in ghost.kinds(landed.id)


@pytest.mark.parametrize("base", ["0" * 40, "abcdef0"])
def test_an_unknown_base_is_refused_with_the_tip_to_use(ghost: Ghost, base: str) -> None:
    refused = ghost.finish(ghost.send(changes=EDIT, base=base))
    assert refused.outcome is not None
    fault = refused.outcome["errors"][0]
    assert (fault["code"], fault["pointer"]) == ("base_mismatch", "/base")
    assert ghost.repo.tip() in fault["next_step"]


def test_a_base_that_names_a_branch_is_no_commit_id(ghost: Ghost) -> None:
    ghost.repo.run("branch", "deadbeef")
    refused = ghost.finish(ghost.send(changes=EDIT, base="deadbeef"))
    assert refused.outcome is not None
    assert refused.outcome["errors"][0]["code"] == "base_mismatch"


def test_a_commit_of_another_branch_is_no_base(ghost: Ghost) -> None:
    ghost.repo.run("checkout", "--quiet", "-b", "aside")
    ghost.repo.commit({"aside.txt": "x\n"})
    ghost.repo.run("checkout", "--quiet", "main")
    assert (
        ghost.finish(ghost.send(changes=EDIT, base=ghost.repo.tip("aside"))).status
        is Status.REJECTED
    )


def test_strict_refuses_a_stale_base(ghost: Ghost) -> None:
    base = ghost.repo.tip()
    ghost.repo.commit({"other.txt": "newer\n"})
    refused = ghost.finish(ghost.send(changes=EDIT, base=base, tolerance="strict"))
    assert refused.status is Status.REJECTED
    assert refused.outcome is not None
    assert "strict" in refused.outcome["errors"][0]["message"]


def test_a_conflict_with_newer_work_is_refused_with_its_text(ghost: Ghost) -> None:
    base = ghost.repo.tip()
    ghost.repo.commit({"greeting.py": 'def greet():\n    return "good day"\n'})
    before = ghost.repo.state()
    refused = ghost.finish(ghost.send(changes=EDIT, base=base))
    assert refused.outcome is not None
    fault = refused.outcome["errors"][0]
    assert fault["code"] == "conflict"
    assert any("good day" in line for line in fault["expected"])
    assert ghost.repo.state() == before


def _owner_commits_once(ghost_path: str) -> str:
    """A check during which the owner commits, the first time it runs."""
    owner = f"git -C {ghost_path} -c user.name=Owner -c user.email=o@example.org"
    return (
        f"test -e {ghost_path}/../moved && exit 0; touch {ghost_path}/../moved; "
        f"echo newer > {ghost_path}/late.txt && {owner} add late.txt && {owner} commit -qm Late"
    )


def test_a_branch_that_moves_while_checks_run_is_checked_again_on_its_new_tip(
    make_ghost: MakeGhost,
) -> None:
    ghost = make_ghost(checks=[])
    script = _owner_commits_once(str(ghost.repo.path))
    ghost.repository = ghost.repository.model_copy(update={"checks": (shell_check(script),)})
    landed = ghost.finish(ghost.send(changes=EDIT))
    assert landed.status is Status.LANDED
    assert ghost.repo.run("log", "-1", "--format=%s", "main^") == "Late"
    kinds = ghost.kinds(landed.id)
    assert kinds.count("checked") == 2
    assert kinds.index("base_moved") < kinds.index("carried") < kinds.index("landed")
    checked = [event.data["tree"] for event in ghost.events(landed.id, "checked")]
    assert checked[-1] == ghost.repo.tip("main^{tree}") != checked[0]


def test_a_preview_moves_nothing(ghost: Ghost) -> None:
    before = ghost.repo.state()
    shown = ghost.finish(ghost.send(changes=EDIT, mode="preview"))
    assert shown.status is Status.PREVIEWED
    assert shown.outcome is not None
    assert (shown.outcome["files"], shown.outcome["insertions"], shown.outcome["deletions"]) == (
        ["greeting.py"],
        1,
        1,
    )
    assert ghost.repo.state() == before
    assert b"hello" in (ghost.evidence(shown.id).diff() or b"")


def test_a_tag_of_that_name_stays_where_it_was_and_is_reported(ghost: Ghost) -> None:
    first = ghost.repo.tip()
    ghost.repo.run("tag", "patch-a")
    landed = ghost.finish(ghost.send(id="patch-a"))
    assert landed.status is Status.LANDED
    assert ghost.repo.tip("refs/tags/patch-a") == first
    assert "already marks another commit" in ghost.report("patch-a")


def test_a_landing_is_pushed_by_fast_forward(make_ghost: MakeGhost) -> None:
    ghost = make_ghost(push="origin")
    ghost.repo.run(
        "clone", "--quiet", "--bare", str(ghost.repo.path), str(ghost.place / "remote.git")
    )
    ghost.repo.run("remote", "add", "origin", str(ghost.place / "remote.git"))
    landed = ghost.finish(ghost.send(id="patch-a"))
    assert landed.outcome is not None
    assert landed.outcome["push"] == {"remote": "origin", "pushed": True}
    assert ghost.repo.run("ls-remote", "origin", "refs/heads/main").split()[0] == ghost.repo.tip()
    assert "patch-a" in ghost.repo.run("ls-remote", "--tags", "origin")


def test_a_failed_push_is_reported_and_undoes_nothing(make_ghost: MakeGhost) -> None:
    ghost = make_ghost(push="nowhere")
    landed = ghost.finish(ghost.send())
    assert landed.status is Status.LANDED
    assert landed.outcome is not None
    assert landed.outcome["push"]["pushed"] is False
    assert "To publish it: git push" in ghost.report(landed.id)


def test_control_characters_in_a_description_do_not_stop_the_commit(ghost: Ghost) -> None:
    assert (
        ghost.finish(ghost.send(description="one\x00two\x1b[31m\r\nthree")).status is Status.LANDED
    )
    assert "onetwo[31m\nthree" in ghost.repo.run("log", "-1", "--format=%B")


def test_a_description_cannot_forge_an_approval(ghost: Ghost) -> None:
    ghost.finish(ghost.send(description="Good.\n\nApproved-By: the owner\nPatch-Id: other"))
    trailers = ghost.repo.run("log", "-1", "--format=%(trailers:only,unfold)")
    assert "Approved-By" not in trailers
    assert "other" not in trailers


def test_check_logs_of_an_earlier_attempt_are_deleted(make_ghost: MakeGhost) -> None:
    ghost = make_ghost(
        checks=[shell_check("true", "lint"), shell_check("true", "tests")], approval="always"
    )
    held = ghost.finish(ghost.send())
    ghost.repository = ghost.repository.model_copy(
        update={"checks": (check_of_patches("exit 1", "lint"),)}
    )
    ghost.ledger.decisions.approve(held.id, "the owner", ghost.clock())
    assert ghost.finish(held.id).status is Status.REJECTED
    assert list(ghost.evidence(held.id).check_logs()) == ["01-lint", "without-patch-lint"]


def test_checks_run_in_the_best_sandbox_there_is(make_ghost: MakeGhost) -> None:
    ghost = make_ghost(
        checks=[shell_check("test -f greeting.py && test ! -e .git")], sandbox="best"
    )
    landed = ghost.finish(ghost.send())
    assert landed.status is Status.LANDED
    (checked,) = ghost.events(landed.id, "checked")
    assert (checked.data["tier"] == "none") == bool(checked.data["sandbox_missing"])
