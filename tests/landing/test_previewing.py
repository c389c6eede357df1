"""The preview of a plan: its files, counts and diff."""

from __future__ import annotations

from gpt_cursor_runner.formats.tree import File, FileAction, Plan
from gpt_cursor_runner.landing.landing import diff_stat
from gpt_cursor_runner.landing.planning import Basis
from gpt_cursor_runner.landing.previewing import Preview, preview
from gpt_cursor_runner.landing.sealing import seal
from tests.building import Repo
from tests.landing.builders import ACCEPTED_AT


def preview_of(repo: Repo, plan: Plan, base: str | None = None) -> Preview:
    return preview(repo.git, "main", Basis(base), lambda tree: plan, ACCEPTED_AT)


def moved(repo: Repo, before: str, after: str) -> Plan:
    repo.commit({"a.txt": before})
    gone = FileAction("a.txt", File(before.encode()), None)
    return Plan((gone, FileAction("b.txt", None, File(after.encode()), "a.txt")))


LINES = "".join(f"line {number}\n" for number in range(10))


def test_a_move_is_one_file_with_its_changed_lines(repo: Repo) -> None:
    (file,) = preview_of(repo, moved(repo, LINES, LINES.replace("line 3", "third"))).files
    assert (file.action, file.path, file.moved_from, file.insertions, file.deletions) == (
        "move",
        "b.txt",
        "a.txt",
        1,
        1,
    )


def test_a_move_with_new_content_counts_all_lines(repo: Repo) -> None:
    (file,) = preview_of(repo, moved(repo, LINES, "other\n")).files
    assert (file.action, file.moved_from, file.insertions, file.deletions) == (
        "move",
        "a.txt",
        1,
        10,
    )


def test_a_copy_is_a_new_file(repo: Repo) -> None:
    repo.commit({"a.txt": LINES})
    (file,) = preview_of(
        repo, Plan((FileAction("b.txt", None, File(LINES.encode()), "a.txt"),))
    ).files
    assert (file.action, file.moved_from, file.insertions) == ("create", None, 10)


def test_odd_names_and_bytes_keep_their_counts(repo: Repo) -> None:
    names = ["späce d.txt", 'q"uote.txt', "tab\t.txt"]
    actions = [FileAction(name, None, File(b"x\n")) for name in names]
    actions.append(FileAction("z.bin", None, File(b"\0\1\n")))
    files = preview_of(repo, Plan(tuple(actions))).files
    assert [(file.path, file.insertions) for file in files] == [
        *((name, 1) for name in names),
        ("z.bin", 0),
    ]


def test_a_file_already_on_the_branch_is_not_listed(repo: Repo) -> None:
    base = repo.tip()
    repo.commit({"both.txt": "same\n"})
    actions = tuple(FileAction(name, None, File(b"same\n")) for name in ("both.txt", "mine.txt"))
    preview = preview_of(repo, Plan(actions), base)
    assert [file.path for file in preview.files] == ["mine.txt"]
    assert (preview.base, preview.tip) == (base, repo.tip())


def test_the_diff_equals_that_of_the_real_run(repo: Repo) -> None:
    plan = moved(repo, LINES, LINES.replace("line 3", "third"))
    preview = preview_of(repo, plan)
    sealed = seal(repo.git, plan, "real", repo.tip(), ACCEPTED_AT)
    assert preview.diff == repo.git.run(
        "diff-tree", "-r", "-p", "-M", "--binary", "--full-index", sealed.base, sealed.commit
    )
    stat = diff_stat(repo.git, sealed.base, sealed.commit)
    assert set(stat.files) == {"a.txt", "b.txt"}
