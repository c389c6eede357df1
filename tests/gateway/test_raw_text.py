"""Raw text instead of JSON: the form is recognised by its marks, the other
members come in headers or the query.
"""

from __future__ import annotations

from typing import Any

import pytest
from werkzeug.test import TestResponse

from tests.gateway.builders import InProcessGateway, problem

HUNK = '@@ -1,2 +1,2 @@\n def greet():\n-    return "hi"\n+    return "ho"\n'
DIFF = f"--- a/greeting.py\n+++ b/greeting.py\n{HUNK}"
ENVELOPE = (
    '*** Begin Patch\n*** Update File: greeting.py\n-    return "hi"\n+    return "ho"\n*** End'
    " Patch\n"
)
BLOCK = 'greeting.py\n<<<<<<< SEARCH\n    return "hi"\n=======\n    return "ho"\n>>>>>>> REPLACE\n'
FORMS = {"unified_diff": DIFF, "apply_patch": ENVELOPE, "search_replace": BLOCK}
NAMED = {"X_Patch_Id": "raw", "X_Patch_Title": "Greet"}


def send(gateway: InProcessGateway, text: str, query: str = "", **headers: str) -> TestResponse:
    return gateway.call(
        "POST", f"/webhook{query}", text.encode(), **{"Content_Type": "text/plain", **headers}
    )


def kept(gateway: InProcessGateway) -> Any:
    return gateway.ledger.queries.get("raw").patch


@pytest.mark.parametrize("kind", FORMS)
@pytest.mark.parametrize("media", ["text/plain", "text/markdown", "text/x-diff", "text/x-patch"])
def test_every_form_is_taken_under_every_type_of_text(gateway, kind, media):
    text = f"I made the change.\n\n```\n{FORMS[kind]}```\n"
    answer = send(gateway, text, **NAMED, Content_Type=media)
    assert answer.status_code == 202, answer.text
    (change,) = kept(gateway).changes
    assert (change.type, change.text) == (kind, text)


@pytest.mark.parametrize("how", ["header", "query"])
def test_bare_hunks_take_their_path_from_header_or_query(gateway, how):
    query = "" if how == "header" else "?path=greeting.py"
    headers = NAMED | ({"X_Patch_Path": "greeting.py"} if how == "header" else {})
    assert send(gateway, HUNK, query, **headers).status_code == 202
    assert kept(gateway).changes[0].path == "greeting.py"


def test_the_other_members_of_a_patch_come_in_headers_and_query(gateway):
    base, digest = gateway.repo.tip(), "0" * 64
    headers = NAMED | {
        "X_Patch_Base": base,
        "X_Patch_Tolerance": "merge",
        "X_Patch_Mode": "preview",
    }
    gateway.post({"id": "busy", "title": "t", "changes": [{"type": "delete", "path": "README.md"}]})
    assert send(gateway, DIFF, f"?expect_plan={digest}", **headers).status_code == 202
    patch = kept(gateway)
    assert (patch.base, patch.tolerance, patch.mode, patch.expect_plan) == (
        base,
        "merge",
        "preview",
        digest,
    )


def test_the_expected_plan_may_be_a_header(gateway):
    refused = problem(
        send(gateway, DIFF, **NAMED, X_Patch_Expect_Plan="0" * 64), 422, "plan_refused"
    )
    assert [(error["code"], error["pointer"]) for error in refused["errors"]] == [
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
def test_a_text_without_a_patch_is_malformed(gateway, text, words):
    refused = problem(send(gateway, text, **NAMED), 422, "malformed")
    (error,) = refused["errors"]
    assert error["code"] == "malformed" and words in error["message"] + error["next_step"]
    assert gateway.ids() == []


def test_a_malformed_text_is_answered_with_the_other_faults_as_well(gateway):
    refused = problem(send(gateway, "Make it blue.", "?tolerance=lax"), 422, "malformed")
    assert {error["pointer"] for error in refused["errors"]} == {
        "/changes/0/text",
        "/id",
        "/title",
        "/tolerance",
    }


def test_a_path_beside_the_text_may_not_leave_the_repository(gateway):
    refused = problem(send(gateway, HUNK, "?path=../x", **NAMED), 422)
    assert [(error["code"], error["pointer"]) for error in refused["errors"]] == [
        ("path_escape", "/changes/0/path")
    ]
