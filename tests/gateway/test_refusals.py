"""Every kind of refusal: its status, the one form of all of them, and nothing
is recorded.
"""

from __future__ import annotations

import gzip
import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt_cursor_runner.health.probes.self_call import PULSE
from tests.building import patch_body
from tests.gateway.builders import gateway_in, problem

FINE = json.dumps(patch_body(id="fine")).encode()
UNREADABLE = {
    "empty": b"",
    "broken": b'{"id": ',
    "two documents": FINE + FINE,
    "duplicate names": b'{"id": "a", "id": "b"}',
    "duplicate names inside": FINE.replace(b'"path"', b'"path": "x", "path"'),
    "deep lists": b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "NaN": b'{"id": NaN}',
    "infinity": b'{"id": -Infinity}',
    "lone surrogate": b'{"id": "\\ud800"}',
    "lone surrogate in a name": b'{"\\udfff": 1}',
    "not UTF-8": b'{"id": "\xff"}',
    "BOM": b"\xef\xbb\xbf" + FINE,
    "UTF-16": FINE.decode().encode("utf-16"),
    "UTF-32": FINE.decode().encode("utf-32"),
    "huge integer": b'{"priority": ' + b"9" * 100_000 + b"}",
    "a list": b"[" + FINE + b"]",
    "a string": b'"hello"',
    "null": b"null",
    "a number": b"5",
    "NUL": FINE + b"\x00",
    "comment": b"/* a */" + FINE,
}
UNFIT = {
    "huge float": b'{"id": "a", "title": "t", "priority": 1e999, "changes": []}',
    "big integer": b'{"id": "a", "title": "t", "priority": 99999999999999999999, "changes": []}',
    "number for text": b'{"id": 7, "title": "t", "changes": []}',
    "text for a number": FINE.replace(b"}]}", b'}], "priority": "1"}'),
    "true for a number": FINE.replace(b"}]}", b'}], "priority": true}'),
    "unknown member": FINE.replace(b"}]}", b'}], "shell": "ls"}'),
    "no change": b'{"id": "a", "title": "t", "changes": []}',
    "too many changes": json.dumps(
        patch_body(changes=[{"type": "delete", "path": "a"}] * 201)
    ).encode(),
    "path upwards": json.dumps(patch_body(changes=[{"type": "delete", "path": "../a"}])).encode(),
    "path into .git": json.dumps(
        patch_body(changes=[{"type": "delete", "path": ".GIT/config"}])
    ).encode(),
    "illegal id": json.dumps(patch_body(id="a/b")).encode(),
    "title of two lines": json.dumps(patch_body(title="a\nb")).encode(),
    "empty object": b"{}",
}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
def test_an_unreadable_body_is_400(shared_gateway, body):
    began = time.thread_time()
    refused = problem(shared_gateway.post(body), 400)
    assert time.thread_time() - began < 2
    assert refused["errors"][0]["hint"]
    assert shared_gateway.ids() == []


@pytest.mark.parametrize("body", UNFIT.values(), ids=UNFIT)
def test_a_readable_body_that_is_no_patch_is_422(shared_gateway, body):
    refused = problem(shared_gateway.post(body), 422)
    assert all({"pointer", "code", "message", "hint"} <= set(error) for error in refused["errors"])
    assert shared_gateway.ids() == []


KINDS = {
    "none": {"Content_Type": ""},
    "form": {"Content_Type": "application/x-www-form-urlencoded"},
    "multipart": {"Content_Type": "multipart/form-data; boundary=x"},
    "html": {"Content_Type": "text/html"},
    "like JSON": {"Content_Type": "application/json-patch+json"},
    "gzip": {"Content_Encoding": "gzip"},
    "br": {"Content_Encoding": "br"},
    "two encodings": {"Content_Encoding": "identity, gzip"},
}


@pytest.mark.parametrize("headers", KINDS.values(), ids=KINDS)
def test_another_type_or_a_compressed_body_is_415(shared_gateway, headers):
    problem(shared_gateway.post(gzip.compress(FINE), **headers), 415)


def test_the_type_may_carry_parameters_and_capitals(gateway):
    assert gateway.post(Content_Type="Application/JSON; charset=utf-8").status_code == 202
    assert gateway.post(Content_Encoding="Identity").status_code == 202


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_another_method_is_405_with_the_allowed_ones(shared_gateway, method):
    answer = shared_gateway.call(method, "/webhook")
    problem(answer, 405)
    assert set(answer.headers["Allow"].split(", ")) == {"POST", "OPTIONS"}


@pytest.mark.parametrize(
    "path", ["/", "/nothing", "/v1//patches", "/webhook/", "/v1/patches/a/b", "/webhook%00", "/%ff"]
)
def test_an_unknown_path_is_404_and_never_a_redirect(shared_gateway, path):
    problem(shared_gateway.call("POST", path, patch_body()), 404)


WRONG_KEYS = [
    None,
    "",
    "wrong",
    "gcr_000000000000_" + "A" * 43,
    "gcr_ü",
    "Bearer x",
    "a b",
    "\x00",
    "x" * 5000,
]


@pytest.mark.parametrize("key", WRONG_KEYS)
def test_a_request_without_a_valid_key_is_401_before_its_body_is_read(shared_gateway, key):
    answer = shared_gateway.call(
        "POST", "/webhook", b"{", key=None, **({"Authorization": f"Bearer {key}"} if key else {})
    )
    problem(answer, 401, "no_key")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="gcr"'
    assert not key or key not in answer.text


@pytest.mark.parametrize("path", ["/webhook", "/v1/patches:preview"])
def test_a_wrong_type_or_length_is_refused_before_the_key(shared_gateway, path):
    problem(shared_gateway.call("POST", path, b"{}", key=None, Content_Type="image/png"), 415)
    too_long = b" " * (shared_gateway.built.parts.config.server.max_body_bytes + 1)
    problem(shared_gateway.call("POST", path, too_long, key=None), 413)


def test_every_flask_route_but_the_self_call_needs_a_key(shared_gateway):
    rules = [rule for rule in shared_gateway.built.app.url_map.iter_rules() if rule.rule != PULSE]
    assert len(rules) > 10
    for rule in rules:
        for method in rule.methods - {"HEAD", "OPTIONS"}:
            path = rule.rule.replace("<patch_id>", "x")
            problem(shared_gateway.call(method, path, {}, key=None), 401, "no_key")


@pytest.mark.parametrize("scheme", ["Basic Z2NyOng=", "Digest x", "bearer", "Bearer"])
def test_another_scheme_is_no_key(shared_gateway, scheme):
    problem(shared_gateway.call("GET", "/v1/patches", key=None, Authorization=scheme), 401)


SCOPED = [
    ("read", "POST", "/webhook"),
    ("approve", "POST", "/webhook"),
    ("submit", "GET", "/v1/patches"),
    ("submit", "GET", "/v1/patches/x/diff"),
    ("submit", "POST", "/v1/patches/x/approve"),
    ("submit", "POST", "/v1/patches/x/reject"),
    ("submit", "POST", "/v1/patches/x/retry"),
    ("read", "POST", "/v1/patches/x/cancel"),
]


@pytest.mark.parametrize(("scope", "method", "path"), SCOPED)
def test_a_key_without_the_scope_is_403(shared_gateway, scope, method, path):
    refused = problem(
        shared_gateway.call(method, path, patch_body() if method == "POST" else None, key=scope),
        403,
    )
    assert refused["code"] == "scope_missing" and "scope '" in refused["detail"]


HOSTS = [
    "evil.example",
    "127.0.0.1.evil.example",
    "localhost:x",
    "localhost, evil",
    "",
    "[::1",
    "2130706433",
    "a b",
    "ü",
]


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("path", ["/webhook", "/v1/patches", "/health"])
def test_a_foreign_host_is_400_on_every_route(shared_gateway, host, path):
    answer = shared_gateway.client.open(
        path, environ_overrides={"HTTP_HOST": host.encode().decode("latin-1")}
    )
    problem(answer, 400, "foreign_host")


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:80", "127.0.0.1:5555", "[::1]:5555", "[::1]"]
)
def test_the_gateways_own_names_are_accepted(shared_gateway, host):
    assert (
        shared_gateway.client.open("/livez", environ_overrides={"HTTP_HOST": host}).status_code
        == 200
    )


def test_the_public_name_is_accepted(tmp_path):
    with gateway_in(tmp_path, public_url="https://Patches.Example.org/") as gateway:
        answer = gateway.client.open(
            "/livez", environ_overrides={"HTTP_HOST": "patches.example.org"}
        )
        assert answer.status_code == 200


@pytest.mark.parametrize(("extra", "status"), [(-1, 202), (0, 202), (1, 413)])
def test_a_body_of_the_maximum_length_is_accepted(tmp_path, extra, status):
    with gateway_in(tmp_path, max_body_bytes=4096) as gateway:
        body = json.dumps(patch_body(id="sized"))[:-1].ljust(4095 + extra).encode() + b"}"
        answer = gateway.post(body)
        assert answer.status_code == status
        assert gateway.ids() == (["sized"] if status == 202 else [])
        if status == 413:
            problem(answer, 413, "body_too_large")


def test_no_answer_repeats_a_secret(shared_gateway):
    secret = "gcr_0123456789ab_" + "S" * 43
    for answer in (
        shared_gateway.post(
            {
                "id": "x",
                "title": "t",
                "changes": [{"type": "upsert", "path": "a", "contents": [secret]}],
            }
        ),
        shared_gateway.post({"id": "x", "title": [secret], "changes": []}),
        shared_gateway.post(key=secret),
        shared_gateway.get(f"/v1/patches/{secret}"),
    ):
        assert answer.status_code >= 400 and secret not in answer.text


NUMBERS = ["²", "٣", "-1", "1e3", "", "9" * 13, "0x1", " 1", "1\x00"]


@pytest.mark.parametrize("name", ["limit", "cursor"])
@pytest.mark.parametrize("number", NUMBERS)
def test_an_odd_number_in_the_query_is_400(shared_gateway, name, number):
    answer = shared_gateway.client.get(
        "/v1/patches",
        query_string={name: number},
        headers={"Authorization": f"Bearer {shared_gateway.keys['read']}"},
    )
    problem(answer, 400, f"bad_{name}")


def test_a_deep_reason_is_400_and_a_long_one_413(gateway):
    gateway.post(patch_body(id="held"))
    gateway.move("held", "held")
    problem(gateway.call("POST", "/v1/patches/held/reject", b"[" * 9000), 400)
    problem(
        gateway.call("POST", "/v1/patches/held/reject", b'{"reason": "' + b"x" * 20_000 + b'"}'),
        413,
    )
    assert gateway.ledger.queries.get("held").status == "held"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
CHANGES = st.lists(
    st.dictionaries(
        st.sampled_from(
            ["type", "path", "text", "old", "new", "contents", "from", "to", "mode", "pattern", "x"]
        ),
        st.sampled_from(
            [
                "upsert",
                "delete",
                "move",
                "regex",
                "unified_diff",
                "str_replace",
                "greeting.py",
                "(",
                "",
            ]
        )
        | JSON,
        max_size=6,
    ),
    max_size=4,
)
BODIES = st.dictionaries(
    st.sampled_from(
        [
            "id",
            "title",
            "patch",
            "mutations",
            "blockId",
            "target_file",
            "base",
            "mode",
            "description",
        ]
    ),
    JSON | st.sampled_from(["fuzz", "main"]),
    max_size=6,
)
FUZZ = settings(max_examples=60, deadline=None, derandomize=True, database=None)


@FUZZ
@given(body=BODIES, changes=CHANGES | JSON, mutations=CHANGES | JSON)
def test_no_json_makes_the_gateway_fail(shared_gateway, body, changes, mutations):
    for raw in (
        {**body, "changes": changes},
        {**body, "mutations": mutations},
        {**body, "patch": {"mutations": changes}},
    ):
        answer = shared_gateway.post(json.dumps(raw).encode())
        assert answer.status_code in (200, 202, 400, 409, 422), answer.text
        for patch_id in shared_gateway.ids():
            shared_gateway.move(
                patch_id, "landed"
            )  # so that the next one is planned at admission again


@FUZZ
@given(
    body=st.binary(max_size=200),
    kind=st.sampled_from(["application/json", "text/plain"]),
    patch_id=st.text(max_size=9),
)
def test_no_bytes_make_the_gateway_fail(shared_gateway, body, kind, patch_id):
    headers = {"Authorization": f"Bearer {shared_gateway.keys['all']}", "Content-Type": kind}
    query = {"id": patch_id, "title": patch_id}
    answer = shared_gateway.client.post("/webhook", query_string=query, data=body, headers=headers)
    assert answer.status_code in (200, 202, 400, 409, 411, 422), answer.text


@FUZZ
@given(
    method=st.sampled_from(["GET", "POST", "HEAD", "DELETE", "OPTIONS", "BREW"]),
    path=st.text(st.characters(codec="utf-8", exclude_characters="?#"), max_size=12),
    home=st.sampled_from(
        ["/", "/v1/patches/", "/v1/patches?", "/webhook?", "/health?", "/v1/patches/x/"]
    ),
    header=st.sampled_from(
        ["Prefer", "Authorization", "Content-Type", "Accept", "Content-Encoding", "X-Patch-Id"]
    ),
    value=st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=12),
)
def test_no_path_and_no_header_makes_the_gateway_fail(
    shared_gateway, method, path, home, header, value
):
    headers = {"Authorization": f"Bearer {shared_gateway.keys['all']}", header: value}
    answer = shared_gateway.client.open(home + path, method=method, headers=headers, data=b"{}")
    # Without a monitor /health is unknown, which is a 503 with reasons.
    assert answer.status_code < 500 or home == "/health?" or answer.json.keys() >= {"reasons"}, (
        answer.text
    )
