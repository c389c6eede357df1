"""A patch from its arrival to its report, over real HTTP and between real
processes.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from tests.building import patch_body
from tests.running import Installation, installed, wait_until

USERS_ID = "patch-v3.3.31(P8.13.23)_flask-health-endpoint-hardening"
USERS_TITLE = "Real-time system liveliness reporting"


def test_the_users_own_example_lands_with_its_subject_tag_and_report(tmp_path: Path):
    with installed(tmp_path, "gateway", "runner", sandbox="best") as installation:
        accepted = installation.call("POST", "/webhook", patch_body(id=USERS_ID, title=USERS_TITLE))
        assert accepted.status == 202
        assert installation.wait_until_ended(USERS_ID)["status"] == "landed"
        assert (
            installation.repo.run("log", "-1", "--format=%s")
            == "[PATCH P8.13.23] flask-health-endpoint-hardening — Real-time system liveliness"
            " reporting"
        )
        assert installation.repo.run("tag", "--points-at", "main") == USERS_ID
        assert installation.repo.run("status", "--short") == ""
        report = _report(installation, USERS_ID)
        for part in (
            "Objective",
            "Execution results",
            "Technical implementation",
            "Validation results",
        ):
            assert f"## {part}" in report
        for part in ("System status", "Git operations", "Impact", "Next steps", "Conclusion"):
            assert f"## {part}" in report
        assert installation.repo.tip() in report
        assert "1 files changed, 1 insertions, 0 deletions" in report


def test_the_landed_tree_is_the_checked_tree(tmp_path: Path):
    with installed(tmp_path, "gateway", "runner") as installation:
        answer = installation.call("POST", "/webhook?wait=20", patch_body(id="one"))
        assert answer.status == 200
        assert answer.body["outcome"]["tree"] == installation.repo.tip("main^{tree}")
        trailers = installation.repo.run(
            "log", "-1", "--format=%(trailers:key=Checked-Tree,valueonly)"
        ).strip()
        assert trailers == installation.repo.tip("main^{tree}")


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
    with installed(tmp_path, "gateway") as installation:
        before = installation.repo.state()
        answer = installation.call("POST", "/webhook", {"id": "faulty", "changes": changes})
        assert answer.status == 422
        errors = {error["pointer"]: error for error in answer.body["errors"]}
        assert errors["/title"]["code"] == "missing"
        assert errors["/changes/1/after_line"]["code"] == "wrong_type"
        assert errors["/changes/2/type"]["code"] == "unknown_type"
        plan = next(error for pointer, error in errors.items() if pointer.startswith("/changes/3"))
        assert plan["code"] == "no_match"
        assert plan["closest"]["first_difference"]["actual"] == "def greet():"
        assert all(error["hint"] for error in answer.body["errors"])
        assert answer.body["base"] == installation.repo.tip()
        assert installation.repo.state() == before
        assert installation.call("GET", "/v1/patches/faulty").status == 404


def test_uncommitted_work_in_other_files_survives_and_the_checkout_follows(tmp_path: Path):
    with installed(tmp_path, "gateway", "runner") as installation:
        installation.repo.write({"README.md": "# App, half rewritten", "scratch.txt": "untracked"})
        change = {"type": "str_replace", "path": "greeting.py", "old": "hi", "new": "hello"}
        answer = installation.call("POST", "/webhook?wait=20", patch_body(changes=[change]))
        assert answer.body["status"] == "landed"
        assert (installation.repo.path / "README.md").read_text() == "# App, half rewritten"
        assert (installation.repo.path / "scratch.txt").read_text() == "untracked"
        assert "hello" in (installation.repo.path / "greeting.py").read_text()


def test_uncommitted_work_in_a_patched_file_holds_the_patch_and_survives(tmp_path: Path):
    with installed(tmp_path, "gateway", "runner") as installation:
        installation.repo.write({"greeting.py": "def greet():\n    return 'mine'\n"})
        before = installation.repo.state()
        change = {"type": "str_replace", "path": "greeting.py", "old": "hi", "new": "hello"}
        answer = installation.call(
            "POST", "/webhook?wait=20", patch_body(id="held-1", changes=[change])
        )
        assert answer.body["status"] == "held"
        assert answer.body["outcome"]["code"] == "checkout_in_the_way"
        after = {
            name: data for name, data in installation.repo.state().items() if "refs/gcr" not in name
        }
        assert {name: _digest(data) for name, data in after.items()} == {
            n: _digest(d) for n, d in before.items()
        }
        installation.repo.run("checkout", "--", "greeting.py")
        assert installation.call("POST", "/v1/patches/held-1/approve").status == 200
        assert installation.wait_until_ended("held-1")["status"] == "landed"


def test_without_a_runner_health_is_degraded_and_recovers(tmp_path: Path):
    with installed(tmp_path, "gateway", "runner") as installation:
        installation.kill("runner")
        installation.wait_for_health("degraded")
        answer = installation.call("GET", "/health", key=None)
        assert answer.status == 200
        assert answer.body["components"]["ghost_runner"] == "down"
        installation.start("runner")
        installation.wait_for_health("healthy")
        assert installation.health()["components"]["ghost_runner"] == "up"


def _report(installation: Installation, patch_id: str) -> str:
    path = f"/v1/patches/{patch_id}/report"
    wait_until(lambda: installation.call("GET", path).status == 200, "there is no report")
    text: str = installation.call("GET", path).body
    return text


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
