"""`POST /v1/patches:preview` shows what would land, and leaves nothing behind."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from tests.building import patch_body
from tests.gateway.builders import InProcessGateway, problem

HELLO = 'def greet():\n    return "hello"\n'
EDIT = {"type": "str_replace", "path": "greeting.py", "old": '"hi"', "new": '"hello"'}
DIFF = (
    '--- a/greeting.py\n+++ b/greeting.py\n@@ -7,2 +7,2 @@\n def greet():\n-    return "hi"\n+   '
    ' return "hello"\n'
)


def ask(
    gateway: InProcessGateway, body: object = None, query: str = "", **named: Any
) -> TestResponse:
    path = f"/v1/patches:preview{query}"
    return gateway.call("POST", path, patch_body(changes=[EDIT]) if body is None else body, **named)


def preview_of(
    gateway: InProcessGateway, body: object = None, query: str = "", **named: Any
) -> Any:
    answer = ask(gateway, body, query, **named)
    assert answer.status_code == 200, answer.text
    return answer.json


def listing(place: Path) -> dict[str, int]:
    return {str(path): path.lstat().st_mtime_ns for path in sorted(place.rglob("*"))}


def test_a_preview_shows_the_commit_that_would_land(gateway):
    shown = preview_of(gateway, patch_body(id="look", changes=[EDIT]))
    tip = gateway.repo.tip()
    assert (shown["schema"], shown["patch_id"], shown["repository"], shown["branch"]) == (
        "gcr-preview/1",
        "look",
        "app",
        "main",
    )
    assert (shown["base"], shown["tip"], shown["warnings"]) == (tip, tip, [])
    assert shown["files"] == [
        {
            "path": "greeting.py",
            "action": "change",
            "insertions": 1,
            "deletions": 1,
            "mode": "644",
            "sha256": hashlib.sha256(HELLO.encode()).hexdigest(),
        }
    ]
    assert (shown["files_total"], shown["insertions"], shown["deletions"]) == (1, 1, 1)
    assert [
        (hunk["path"], hunk["line"], hunk["rung"], hunk["similarity"]) for hunk in shown["hunks"]
    ] == [("greeting.py", 2, "exact", 1.0)]
    assert (
        '-    return "hi"\n+    return "hello"\n' in shown["diff"]
        and shown["diff_truncated"] is False
    )


def test_each_kind_of_change_has_its_action(gateway):
    gateway.repo.commit({"old.txt": "one\ntwo\nthree\n", "run.sh": "ls\n", "bye.txt": "bye\n"})
    changes = [
        EDIT,
        {"type": "move", "from": "old.txt", "to": "new.txt"},
        {"type": "chmod", "path": "run.sh", "mode": "755"},
        {"type": "delete", "path": "bye.txt"},
        {"type": "upsert", "path": "made.txt", "contents": "a\nb\n"},
    ]
    files = {
        file["path"]: file for file in preview_of(gateway, patch_body(changes=changes))["files"]
    }
    assert {path: file["action"] for path, file in files.items()} == {
        "greeting.py": "change",
        "new.txt": "move",
        "run.sh": "chmod",
        "bye.txt": "delete",
        "made.txt": "create",
    }
    counts = {path: (file["insertions"], file["deletions"]) for path, file in files.items()}
    assert (counts["new.txt"], counts["bye.txt"], counts["made.txt"]) == ((0, 0), (0, 1), (2, 0))
    assert (files["new.txt"]["moved_from"], files["run.sh"]["mode"]) == ("old.txt", "755")
    assert "sha256" not in files["bye.txt"]


def test_a_preview_leaves_nothing_behind(gateway, tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    before = listing(gateway.repo.path)
    preview_of(gateway)
    problem(ask(gateway, patch_body(changes=[EDIT | {"old": "nowhere"}])), 422)
    assert (listing(gateway.repo.path), gateway.ids(), list(scratch.iterdir())) == (before, [], [])


@pytest.mark.parametrize("kind", ["json", "text"])
def test_a_preview_accepts_the_bodies_of_the_webhook(gateway, kind):
    if kind == "json":
        shown = preview_of(gateway, patch_body(changes=[{"type": "unified_diff", "text": DIFF}]))
    else:
        shown = preview_of(gateway, DIFF.encode(), "?id=raw&title=Raw", Content_Type="text/plain")
    assert [file["path"] for file in shown["files"]] == ["greeting.py"]


def test_a_refused_plan_is_refused_as_the_webhook_refuses_it(gateway):
    body = patch_body(
        changes=[EDIT, EDIT | {"path": "none.py"}, {"type": "delete", "path": "x", "path2": 1}]
    )
    for broken in (body, body | {"changes": body["changes"][:2]}, {"id": "a b"}):
        preview, webhook = (
            json.loads(answer.data) for answer in (ask(gateway, broken), gateway.post(broken))
        )
        assert preview["status"] == 422
        assert {**preview, "instance": ""} == {**webhook, "instance": ""}


def test_the_plan_that_was_seen_can_be_demanded(gateway):
    digest = preview_of(gateway, patch_body(id="seen", changes=[EDIT]))["plan_digest"]
    body = patch_body(id="seen", changes=[EDIT], expect_plan=digest)
    assert preview_of(gateway, body)["plan_digest"] == digest
    gateway.repo.commit({"README.md": "# Another\n"})
    assert gateway.post(body).status_code == 202
    gateway.move("seen", "cancelled")
    gateway.repo.commit({"greeting.py": f"# Newer\n{gateway.repo.show('greeting.py')}\n"})
    for path in ("/webhook", "/v1/patches:preview"):
        refused = problem(gateway.call("POST", path, body | {"id": "late"}), 422, "plan_refused")
        (error,) = refused["errors"]
        assert (error["code"], error["pointer"]) == ("base_mismatch", "/expect_plan")
        assert "preview" in error["next_step"] and refused["base"] == gateway.repo.tip()


def test_a_patch_for_an_older_commit_is_shown_merged_into_the_tip(gateway):
    base = gateway.repo.commit(
        {"greeting.py": HELLO, "long.txt": "".join(f"{n}\n" for n in range(20))}
    )
    theirs = "top\n" + "".join(f"{n}\n" for n in range(1, 20))
    tip = gateway.repo.commit({"long.txt": theirs})
    change = {"type": "str_replace", "path": "long.txt", "old": "\n18\n", "new": "\neighteen\n"}
    shown = preview_of(gateway, patch_body(base=base, changes=[change]))
    landed = theirs.replace("\n18\n", "\neighteen\n")
    assert (shown["base"], shown["tip"]) == (base, tip)
    assert shown["files"][0]["sha256"] == hashlib.sha256(landed.encode()).hexdigest()
    assert "-18\n+eighteen" in shown["diff"] and "+top" not in shown["diff"]


def test_a_conflict_with_the_tip_is_refused_with_its_text(gateway):
    base = gateway.repo.tip()
    gateway.repo.commit({"greeting.py": HELLO.replace("hello", "good day")})
    before = listing(gateway.repo.path)
    (error,) = problem(ask(gateway, patch_body(base=base, changes=[EDIT])), 422, "plan_refused")[
        "errors"
    ]
    assert (error["code"], error["path"]) == ("conflict", "greeting.py")
    assert "<<<<<<< the branch" in error["expected"]
    assert listing(gateway.repo.path) == before


def test_an_unknown_base_is_refused_by_preview_and_webhook(gateway):
    body = patch_body(base="1234567", changes=[EDIT])
    for answer in (ask(gateway, body), gateway.post(body)):
        (error,) = problem(answer, 422, "plan_refused")["errors"]
        assert (error["code"], error["pointer"]) == ("base_mismatch", "/base")


def test_a_used_id_and_a_queued_patch_are_warnings(gateway):
    gateway.post(patch_body(id="first"))
    shown = preview_of(gateway, patch_body(id="first", changes=[EDIT]))
    used, busy = shown["warnings"]
    assert "first was used before" in used and "on its way to this branch" in busy
    gateway.move("first", "landed")
    assert len(preview_of(gateway, patch_body(id="first", changes=[EDIT]))["warnings"]) == 1


def test_a_long_diff_is_cut_at_a_line_and_marked(gateway):
    wide = "".join(f'line "{n}" é\n' for n in range(20_000))
    body = patch_body(changes=[{"type": "upsert", "path": "wide.txt", "contents": wide}])
    answer = ask(gateway, body)
    shown = json.loads(answer.data)
    assert shown["diff_truncated"] is True and shown["diff"].endswith("é\n")
    assert 40_000 < len(answer.text) < 60_000
    assert preview_of(gateway, body, "?diff=0")["diff"] == ""
    complete = preview_of(gateway, body, "?diff=1000000")
    assert complete["diff_truncated"] is False and 'line "19999"' in complete["diff"]


def test_many_files_are_counted_and_some_are_listed(gateway):
    changes = [{"type": "upsert", "path": f"n/{n}.txt", "contents": "x\n"} for n in range(150)]
    shown = preview_of(gateway, patch_body(changes=changes))
    assert (len(shown["files"]), shown["files_total"], shown["insertions"]) == (100, 150, 150)


@pytest.mark.parametrize("diff", ["", "-1", "all", "1000001", "٣"])
def test_a_nonsensical_bound_is_refused(gateway, diff):
    problem(ask(gateway, None, f"?diff={diff}"), 400, "bad_diff")


def test_a_preview_needs_the_scope_submit(gateway):
    problem(ask(gateway, key="read"), 403)
    problem(ask(gateway, key=None), 401)
    assert ask(gateway, key="submit").status_code == 200


def test_a_preview_with_another_method_is_405(gateway):
    refused = problem(gateway.get("/v1/patches:preview"), 405, "method")
    assert "POST" in refused["detail"]


def test_a_repository_in_trouble_is_not_the_senders_fault(gateway):
    ask(gateway)
    (gateway.repo.path / ".git").rename(gateway.repo.path / "gone")
    answer = ask(gateway)
    refused = problem(answer, 503, "repository_unavailable")
    assert answer.headers["Retry-After"] and str(gateway.repo.path) not in refused["detail"]


def test_every_member_of_the_answer_is_documented(gateway):
    shown = preview_of(gateway)
    text = (Path(__file__).parents[2] / "docs/webhook.md").read_text()
    for name in (*shown, *shown["files"][0], *shown["hunks"][0]):
        assert f"`{name}`" in text, name
