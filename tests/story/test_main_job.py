"""One patch walks all the way, over real HTTP and between real processes."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tests.building import patch_body
from tests.running import Installation, installed, wait_until

USERS_ID = "patch-v3.3.31(P8.13.23)_flask-health-endpoint-hardening"
USERS_TITLE = "Real-time system liveliness reporting"


def test_the_users_own_example_lands_with_its_subject_tag_and_report(tmp_path: Path):
    with installed(tmp_path, "gateway", "runner", sandbox="best") as here:
        accepted = here.call("POST", "/webhook", patch_body(id=USERS_ID, title=USERS_TITLE))
        assert accepted.status == 202
        assert here.wait_until_ended(USERS_ID)["status"] == "landed"
        assert (
            here.repo.run("log", "-1", "--format=%s")
            == "[PATCH P8.13.23] flask-health-endpoint-hardening — Real-time system liveliness"
            " reporting"
        )
        assert here.repo.run("tag", "--points-at", "main") == USERS_ID
        assert here.repo.run("status", "--short") == ""
        report = _report(here, USERS_ID)
        for part in (
            "Objective",
            "Execution results",
            "Technical implementation",
            "Validation results",
        ):
            assert f"## {part}" in report
        for part in ("System status", "Git operations", "Impact", "Next steps", "Conclusion"):
            assert f"## {part}" in report
        assert here.repo.tip() in report
        assert "1 files changed, 1 insertions, 0 deletions" in report


def test_the_tree_that_lands_is_the_tree_that_was_checked(tmp_path: Path):
    with installed(tmp_path, "gateway", "runner") as here:
        answer = here.call("POST", "/webhook?wait=20", patch_body(id="one"))
        assert answer.status == 200
        assert answer.body["outcome"]["tree"] == here.repo.tip("main^{tree}")
        trailers = here.repo.run(
            "log", "-1", "--format=%(trailers:key=Checked-Tree,valueonly)"
        ).strip()
        assert trailers == here.repo.tip("main^{tree}")


def test_one_answer_lists_every_fault_and_nothing_changes(tmp_path: Path):
    stale = (
        "--- a/greeting.py\n+++ b/greeting.py\n@@ -1,2 +1,2 @@\n def greet(name):\n-    return"
        ' "hi"\n+    return "ho"\n'
    )
    changes = [
        {"type": "upsert", "path": "a.txt", "contents": "a"},
        {"type": "insert", "path": "README.md", "after_line": "one", "text": "x"},
        {"type": "rename_everything"},
        {"type": "unified_diff", "text": stale},
    ]
    with installed(tmp_path, "gateway") as here:
        before = here.repo.state()
        answer = here.call("POST", "/webhook", {"id": "faulty", "changes": changes})
        assert answer.status == 422
        found = {error["pointer"]: error for error in answer.body["errors"]}
        assert found["/title"]["code"] == "missing"
        assert found["/changes/1/after_line"]["code"] == "wrong_type"
        assert found["/changes/2/type"]["code"] == "unknown_type"
        plan = next(error for pointer, error in found.items() if pointer.startswith("/changes/3"))
        assert plan["code"] == "no_match"
        assert plan["closest"]["first_difference"]["actual"] == "def greet():"
        assert all(error["hint"] for error in answer.body["errors"])
        assert answer.body["base"] == here.repo.tip()
        assert here.repo.state() == before
        assert here.call("GET", "/v1/patches/faulty").status == 404


def test_uncommitted_work_beside_the_patch_survives_and_the_checkout_follows(tmp_path: Path):
    with installed(tmp_path, "gateway", "runner") as here:
        here.repo.write({"README.md": "# App, half rewritten", "scratch.txt": "untracked"})
        change = {"type": "str_replace", "path": "greeting.py", "old": "hi", "new": "hello"}
        answer = here.call("POST", "/webhook?wait=20", patch_body(changes=[change]))
        assert answer.body["status"] == "landed"
        assert (here.repo.path / "README.md").read_text() == "# App, half rewritten"
        assert (here.repo.path / "scratch.txt").read_text() == "untracked"
        assert "hello" in (here.repo.path / "greeting.py").read_text()


def test_uncommitted_work_under_the_patch_holds_it_and_survives_byte_for_byte(tmp_path: Path):
    with installed(tmp_path, "gateway", "runner") as here:
        here.repo.write({"greeting.py": "def greet():\n    return 'mine'\n"})
        before = here.repo.state()
        change = {"type": "str_replace", "path": "greeting.py", "old": "hi", "new": "hello"}
        answer = here.call("POST", "/webhook?wait=20", patch_body(id="held-1", changes=[change]))
        assert answer.body["status"] == "held"
        assert answer.body["outcome"]["code"] == "checkout_in_the_way"
        after = {name: data for name, data in here.repo.state().items() if "refs/gcr" not in name}
        assert {name: _digest(data) for name, data in after.items()} == {
            n: _digest(d) for n, d in before.items()
        }
        here.repo.run("checkout", "--", "greeting.py")
        assert here.call("POST", "/v1/patches/held-1/approve").status == 200
        assert here.wait_until_ended("held-1")["status"] == "landed"


def test_without_a_runner_health_is_degraded_and_recovers(tmp_path: Path):
    with installed(tmp_path, "gateway", "runner") as here:
        here.kill("runner")
        here.wait_for_health("degraded")
        answer = here.call("GET", "/health", key=None)
        assert answer.status == 200
        assert answer.body["components"]["ghost_runner"] == "down"
        here.start("runner")
        here.wait_for_health("healthy")
        assert here.health()["components"]["ghost_runner"] == "up"


def _report(here: Installation, patch_id: str) -> str:
    path = f"/v1/patches/{patch_id}/report"
    wait_until(lambda: here.call("GET", path).status == 200, 5, "there is no report")
    text: str = here.call("GET", path).body
    return text


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
