"""Raw text instead of JSON: the form is told by its marks, everything else
comes in headers or the query.
"""

from __future__ import annotations

from typing import Any

import pytest
from werkzeug.test import TestResponse

from tests.gateway.builders import Desk, problem

HUNK = '@@ -1,2 +1,2 @@\n def greet():\n-    return "hi"\n+    return "ho"\n'
DIFF = f"--- a/greeting.py\n+++ b/greeting.py\n{HUNK}"
ENVELOPE = (
    '*** Begin Patch\n*** Update File: greeting.py\n-    return "hi"\n+    return "ho"\n*** End'
    " Patch\n"
)
BLOCK = 'greeting.py\n<<<<<<< SEARCH\n    return "hi"\n=======\n    return "ho"\n>>>>>>> REPLACE\n'
FORMS = {"unified_diff": DIFF, "apply_patch": ENVELOPE, "search_replace": BLOCK}
NAMED = {"X_Patch_Id": "raw", "X_Patch_Title": "Greet"}


def send(desk: Desk, text: str, query: str = "", **headers: str) -> TestResponse:
    return desk.call(
        "POST", f"/webhook{query}", text.encode(), **{"Content_Type": "text/plain", **headers}
    )


def kept(desk: Desk) -> Any:
    return desk.ledger.queries.get("raw").patch


@pytest.mark.parametrize("kind", FORMS)
@pytest.mark.parametrize("media", ["text/plain", "text/markdown", "text/x-diff", "text/x-patch"])
def test_every_form_is_taken_under_every_type_of_text(desk, kind, media):
    text = f"I made the change.\n\n```\n{FORMS[kind]}```\n"
    answer = send(desk, text, **NAMED, Content_Type=media)
    assert answer.status_code == 202, answer.text
    (change,) = kept(desk).changes
    assert (change.type, change.text) == (kind, text)


@pytest.mark.parametrize("how", ["header", "query"])
def test_hunks_alone_bring_the_name_of_their_file_beside_them(desk, how):
    query = "" if how == "header" else "?path=greeting.py"
    headers = NAMED | ({"X_Patch_Path": "greeting.py"} if how == "header" else {})
    assert send(desk, HUNK, query, **headers).status_code == 202
    assert kept(desk).changes[0].path == "greeting.py"


def test_everything_else_of_a_patch_comes_beside_the_text_too(desk):
    base, digest = desk.repo.tip(), "0" * 64
    headers = NAMED | {
        "X_Patch_Base": base,
        "X_Patch_Tolerance": "merge",
        "X_Patch_Mode": "preview",
    }
    desk.post({"id": "busy", "title": "t", "changes": [{"type": "delete", "path": "README.md"}]})
    assert send(desk, DIFF, f"?expect_plan={digest}", **headers).status_code == 202
    patch = kept(desk)
    assert (patch.base, patch.tolerance, patch.mode, patch.expect_plan) == (
        base,
        "merge",
        "preview",
        digest,
    )


def test_the_expected_plan_may_be_a_header(desk):
    refused = problem(send(desk, DIFF, **NAMED, X_Patch_Expect_Plan="0" * 64), 422, "plan_refused")
    assert [(one["code"], one["pointer"]) for one in refused["errors"]] == [
        ("base_mismatch", "/expect_plan")
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Make it blue.", "<<<<<<< SEARCH"),
        (" \n", "is empty"),
        (DIFF + BLOCK, "a unified diff at line 1 and search/replace blocks at line 8"),
        (HUNK, "X-Patch-Path"),
        ('{"id": "x", "title": "t", "changes": []}', "application/json"),
    ],
)
def test_what_is_no_patch_is_a_malformed_one(desk, text, words):
    refused = problem(send(desk, text, **NAMED), 422, "malformed")
    (error,) = refused["errors"]
    assert error["code"] == "malformed" and words in error["message"] + error["next_step"]
    assert desk.ids() == []


def test_a_text_that_is_no_patch_hears_of_its_other_faults_as_well(desk):
    refused = problem(send(desk, "Make it blue.", "?tolerance=lax"), 422, "malformed")
    assert {one["pointer"] for one in refused["errors"]} == {
        "/changes/0/text",
        "/id",
        "/title",
        "/tolerance",
    }


def test_a_name_beside_the_text_may_not_leave_the_repository(desk):
    refused = problem(send(desk, HUNK, "?path=../x", **NAMED), 422)
    assert [(one["code"], one["pointer"]) for one in refused["errors"]] == [
        ("path_escape", "/changes/0/path")
    ]
