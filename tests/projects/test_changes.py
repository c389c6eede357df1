"""The ten changes of `make try-projects` change something, in each way."""

from __future__ import annotations

from tests.building import Repo
from tests.projects.changes import Work


def test_each_change_makes_another_tree(tmp_path):
    sources = {f"lib/part{number}.py": f"part = {number}\n" for number in range(3)}
    repo = Repo.create(tmp_path / "app", {**sources, "setup.py": "setup()\n", "script.js": "#!x\n"})
    work = Work(repo.path)
    before = {work.git("rev-parse", "HEAD^{tree}").strip()}
    kinds = []
    for change in work.changes():
        kinds.append(change["type"])
        tree = work.commit()
        if change["type"] not in ("delete",):
            assert tree not in before
        before.add(tree)
    assert len(kinds) == 10 and len(set(kinds)) == 7
    assert repo.show("setup.py") == "setup()" and repo.show("script.js") == "#!x"
