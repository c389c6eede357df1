"""The planned tree becomes a commit: exact, repeatable, and with no other
change to the repository.
"""

from pathlib import Path

import pytest

from gpt_cursor_runner.formats.tree import File
from gpt_cursor_runner.landing.landing import compose, diff, diff_stat
from gpt_cursor_runner.landing.sealing import seal, sealed_ref
from gpt_cursor_runner.patch.faults import WorldFailed
from tests.building import Repo
from tests.landing.builders import ACCEPTED_AT, Files, plan_of, seal_files


def listed(repo: Repo, revision: str) -> dict[str, str]:
    """Path → mode of every file of a commit."""
    rows = [
        row.split("\t", 1) for row in repo.run("ls-tree", "-r", "-z", revision).split("\0") if row
    ]
    return {path: facts.split()[0] for facts, path in rows}


def test_the_same_plan_on_the_same_base_gives_the_same_commit(repo: Repo) -> None:
    first = seal_files(repo, {"a.txt": "a\n"})
    seal_files(repo, {"a.txt": "other\n"})
    assert seal_files(repo, {"a.txt": "a\n"}) == first


@pytest.mark.parametrize("what", ["plan", "time", "base"])
def test_a_different_plan_time_or_base_gives_a_different_commit(repo: Repo, what: str) -> None:
    base = repo.tip()
    first = seal_files(repo, {"a.txt": "a\n"})
    plan, at = plan_of({"a.txt": "a\n"}), ACCEPTED_AT
    if what == "plan":
        plan = plan_of({"a.txt": "b\n"})
    if what == "time":
        at += 60
    if what == "base":
        base = repo.commit({"b.txt": "b\n"})
    assert seal(repo.git, plan, "patch-1", base, at).commit != first.commit


def test_sealing_adds_only_the_sealed_ref(repo: Repo) -> None:
    before, refs = repo.state(), repo.run("for-each-ref")
    sealed = seal_files(repo, {"a.txt": "a\n"})
    after = repo.state()
    assert sealed.ref == "refs/gcr/sealed/patch-1" == sealed_ref("patch-1")
    assert {name for name in after if before.get(name) != after[name]} == {
        ".git/refs/gcr/sealed/patch-1"
    }
    assert repo.run("for-each-ref") == "\n".join([f"{sealed.commit} commit\t{sealed.ref}", refs])


def test_a_sealed_commit_has_its_base_as_parent_and_our_name(repo: Repo) -> None:
    sealed = seal_files(repo, {"a.txt": "a\n"})
    assert sealed.base == repo.tip() == repo.tip(f"{sealed.commit}^")
    assert sealed.tree == repo.tip(f"{sealed.commit}^{{tree}}")
    commit = repo.run("log", "-1", "--format=%an <%ae> %at|%cn <%ce> %ct|%B", sealed.commit)
    ours = "GPT-Cursor Runner <gpt-cursor-runner@localhost> 1700000000"
    assert commit.strip() == f"{ours}|{ours}|Seal patch-1"


@pytest.mark.parametrize(
    ("files", "becomes"),
    [
        (
            {"new.txt": "new\n"},
            {"a/b": "100644", "run": "100755", "keep": "100644", "new.txt": "100644"},
        ),
        ({"run": None}, {"a/b": "100644", "keep": "100644"}),
        ({"a/b": None}, {"run": "100755", "keep": "100644"}),
        (
            {"run": File(b"#!/bin/sh\n", "100644")},
            {"a/b": "100644", "run": "100644", "keep": "100644"},
        ),
        ({"keep": File(b"keep\n", "100755")}, {"a/b": "100644", "run": "100755", "keep": "100755"}),
        (
            {"keep": None, "keep/inside": "in\n"},
            {"a/b": "100644", "run": "100755", "keep/inside": "100644"},
        ),
        ({"a/b": None, "a": "a file now\n"}, {"a": "100644", "run": "100755", "keep": "100644"}),
        (
            {"a/b": None, "a/b/c": "deeper\n"},
            {"a/b/c": "100644", "run": "100755", "keep": "100644"},
        ),
    ],
)
def test_each_kind_of_action_changes_only_its_own_path(
    repo: Repo, files: Files, becomes: dict[str, str]
) -> None:
    repo.run("rm", "-r", "--quiet", ".")
    repo.write({"a/b": "b\n", "run": "#!/bin/sh\n", "keep": "keep\n"})
    (repo.path / "run").chmod(0o755)
    repo.commit({})
    assert listed(repo, seal_files(repo, files).commit) == becomes


@pytest.mark.parametrize(
    "name",
    [
        "with space",
        " leading",
        'with "quotes"',
        "it's",
        "back\\slash",
        "snow ☃ and e\u0301",
        "-dash",
        "#hash",
        "tab\there",
        "line\nfeed",
        "$(touch x)",
        b"latin-\xe9".decode(errors="surrogateescape"),
    ],
)
def test_a_name_is_sealed_as_planned(repo: Repo, name: str) -> None:
    sealed = seal_files(repo, {f"dir/{name}": "named\n"})
    assert f"dir/{name}" in listed(repo, sealed.commit)
    assert f"dir/{name}" not in listed(
        repo, seal_files(repo, {f"dir/{name}": None}, base=sealed.commit).commit
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        bytes(range(256)),
        b"no newline",
        b"\r\n",
        b"done\n",
        b"data 3\nM 100644 inline x\n",
        b"x" * 70_000,
    ],
)
def test_bytes_are_sealed_as_planned(repo: Repo, data: bytes) -> None:
    sealed = seal_files(repo, {"bytes": data, "next": b"next\n"})
    assert repo.git.run("cat-file", "blob", f"{sealed.commit}:bytes") == data
    assert repo.show("next", sealed.commit) == "next"


def test_attributes_do_not_change_the_bytes(repo: Repo) -> None:
    repo.commit({".gitattributes": "* text=auto eol=lf ident\n"})
    sealed = seal_files(repo, {"crlf": b"$Id$\r\n"})
    assert repo.git.run("cat-file", "blob", f"{sealed.commit}:crlf") == b"$Id$\r\n"


def test_a_failed_seal_is_a_fault_of_ours_and_leaves_no_crash_report(repo: Repo) -> None:
    mine = repo.path / ".git" / "fast_import_crash_1"
    mine.write_text("the owner's own")
    before = repo.state()
    with pytest.raises(WorldFailed, match="git could not write the commit: fatal") as failed:
        seal_files(repo, {"a.txt": "a\n"}, base="0" * 39 + "1")
    assert failed.value.code == "seal_failed"
    assert repo.state() == before


def test_a_sha_256_repository_is_sealed(tmp_path: Path) -> None:
    made = Repo(tmp_path / "wide")
    made.path.mkdir()
    made.run("init", "--quiet", "--initial-branch=main", "--object-format=sha256")
    made.commit({"a": "a\n"})
    assert len(seal_files(made, {"b": "b\n"}).commit) == 64


def test_a_landed_commit_is_described_in_trailers(repo: Repo) -> None:
    sealed = seal_files(repo, {"a.txt": "a\n"})
    body = "# Why\n\nBecause.\n\nPatch-Id: forged"
    trailers = {"Patch-Id": "patch-1", "Submitted-By": "key\none"}
    commit = compose(repo.git, sealed, "[PATCH] patch-1 — Größe", body, trailers, ACCEPTED_AT)
    assert (
        compose(repo.git, sealed, "[PATCH] patch-1 — Größe", body, trailers, ACCEPTED_AT) == commit
    )
    assert repo.run("log", "-1", "--format=%B", commit).strip() == (
        "[PATCH] patch-1 — Größe\n\n" + body + "\n\nPatch-Id: patch-1\nSubmitted-By: key one"
    )
    assert (
        repo.run("log", "-1", "--format=%(trailers)", commit).strip()
        == "Patch-Id: patch-1\nSubmitted-By: key one"
    )
    assert repo.tip(f"{commit}^{{tree}}") == sealed.tree


def test_the_repositorys_commit_encoding_is_ignored(repo: Repo) -> None:
    repo.run("config", "i18n.commitEncoding", "ISO-8859-1")
    commit = compose(
        repo.git, seal_files(repo, {"a": "a\n"}), "Größe", "", {"Patch-Id": "x"}, ACCEPTED_AT
    )
    assert "encoding" not in repo.run("cat-file", "commit", commit)


def test_the_diff_and_its_counts_describe_the_commit(repo: Repo) -> None:
    files: Files = {
        "greeting.py": 'def greet():\n    return "hello"\n',
        "bin": b"\0\1",
        "README.md": None,
        "ü": "1\n2\n",
    }
    sealed = seal_files(repo, files)
    stat = diff_stat(repo.git, sealed.base, sealed.commit)
    assert sorted(stat.files) == ["README.md", "bin", "greeting.py", "ü"]
    assert (stat.insertions, stat.deletions) == (3, 2)
    text = diff(repo.git, sealed.base, sealed.commit)
    repo.run("apply", "--index", data=text)
    assert repo.run("write-tree") == sealed.tree


def test_a_commit_is_dated_to_the_second_in_utc(repo: Repo) -> None:
    sealed = seal_files(repo, {"a": "a\n"})
    commit = compose(repo.git, sealed, "Subject", "", {"Patch-Id": "x"}, ACCEPTED_AT)
    assert (
        repo.run("log", "-1", "--format=%at %ct %ad", "--date=raw", commit)
        == "1700000000 1700000000 1700000000 +0000"
    )
