import pytest

from gpt_cursor_runner.patch.identity import PatchId

EXAMPLE = "patch-v3.3.31(P8.13.23)_flask-health-endpoint-hardening"


def test_an_id_in_the_grammar_gives_its_parts_and_the_subject_of_the_commit():
    parsed = PatchId.parse(EXAMPLE)
    assert (parsed.version, parsed.phase, parsed.slug) == (
        "3.3.31",
        "P8.13.23",
        "flask-health-endpoint-hardening",
    )
    assert (
        parsed.subject("Harden /health")
        == "[PATCH P8.13.23] flask-health-endpoint-hardening — Harden /health"
    )


@pytest.mark.parametrize(
    "text", ["a", "7", "fix-login", "patch-3", "v1.2+build_(x)", "x" * 128, "patch-v(P1)_x"]
)
def test_any_other_legal_id_is_written_unchanged_in_the_subject(text):
    assert PatchId.parse(text).subject("Title") == f"[PATCH] {text} — Title"


@pytest.mark.parametrize(
    "text",
    ["", "x" * 129, "-rf", ".hidden", "_x", "(x)", "a b", "a/b", "a\n", "a~1", "a^", "a:b", "a?", "a*", "a[", "a\\b",
     "a@{1}", "a..b", "a.", "a.lock", "é", "a\0"],
)  # fmt: skip
def test_an_id_that_cannot_be_a_tag_is_refused(text):
    with pytest.raises(ValueError, match="an id"):
        PatchId.parse(text)
