"""Which plans wait for a person."""

import pytest

from gpt_cursor_runner.config import DEFAULT_PROTECTED, Approval
from gpt_cursor_runner.landing.policy import protected_paths, require_approval
from gpt_cursor_runner.patch.faults import ApprovalRule, HumanNeeded
from tests.landing.builders import plan_of


@pytest.mark.parametrize(
    "path",
    [
        ".github/workflows/ci.yml",
        ".GitHub/Workflows/CI.yml",
        ".gitattributes",
        "deep/er/.gitattributes",
        ".GITMODULES",
        "tests/conftest.py",
        "tests/CONFTEST.PY",
        "Makefile",
        "makefile",
        "docs/AGENTS.md",
        "runner.toml",
        ".vscode/settings.json",
    ],
)
def test_a_protected_path_matches_in_any_case_at_any_depth(path: str) -> None:
    assert protected_paths(plan_of({path: "x"}), DEFAULT_PROTECTED) == [path]


@pytest.mark.parametrize(
    "path",
    ["src/app.py", "github/ci.yml", "my.gitattributes", "conftest.pyi", "docs/runner.toml.md"],
)
def test_a_path_that_is_only_similar_is_not_protected(path: str) -> None:
    assert protected_paths(plan_of({path: "x"}), DEFAULT_PROTECTED) == []


def test_the_deletion_of_a_protected_path_is_protected() -> None:
    assert protected_paths(plan_of({"Makefile": None}), ["Makefile"]) == ["Makefile"]


def test_patterns_follow_the_rules_of_gitignore() -> None:
    patterns = ["deploy/", "/setup.py", "*.lock", "!free.lock", "Größe/**"]
    files = [
        "a/setup.py",
        "deploy/x",
        "free.lock",
        "poetry.lock",
        "setup.py",
        "sub/deploy/y",
        "gro\u0308sse/x",
        "grÖße/x",
    ]
    protected = protected_paths(plan_of(dict.fromkeys(files, "x")), patterns)
    assert protected == [
        "deploy/x",
        "gro\u0308sse/x",
        "grÖße/x",
        "poetry.lock",
        "setup.py",
        "sub/deploy/y",
    ]


@pytest.mark.parametrize(
    ("approval", "path", "waits"),
    [
        ("never", "Makefile", False),
        ("never", "src/app.py", False),
        ("protected", "Makefile", True),
        ("protected", "src/app.py", False),
        ("always", "Makefile", True),
        ("always", "src/app.py", True),
    ],
)
def test_each_rule_of_approval(approval: Approval, path: str, waits: bool) -> None:
    plan = plan_of({path: "x"})
    if not waits:
        require_approval(plan, approval, DEFAULT_PROTECTED)
        return
    with pytest.raises(HumanNeeded) as held:
        require_approval(plan, approval, DEFAULT_PROTECTED)
    assert held.value.code == "needs_approval"
    assert "approve" in held.value.next_step


def test_the_protected_paths_are_named_and_kept() -> None:
    plan = plan_of({f"ci/{number}.yml": "x" for number in range(7)})
    with pytest.raises(HumanNeeded, match=r"ci/0.yml, .* and 2 more") as held:
        require_approval(plan, "protected", ["ci/"])
    assert isinstance(held.value.cause, ApprovalRule)
    assert len(held.value.cause.protected_paths) == 7


def test_approval_of_everything_still_lists_protected_paths() -> None:
    with pytest.raises(HumanNeeded) as held:
        require_approval(plan_of({"Makefile": "x", "a": "x"}), "always", ["Makefile"])
    assert held.value.cause == ApprovalRule(("Makefile",))
