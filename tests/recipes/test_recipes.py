"""Each recipe of docs/recipes.md works on a small project, and is what `gcr init`
proposes for it.
"""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
from _pytest.mark import ParameterSet

from gpt_cursor_runner.cli.ecosystems import proposals_for
from gpt_cursor_runner.cli.ecosystems.project import Project, Proposal
from gpt_cursor_runner.cli.registries import Registries
from gpt_cursor_runner.cli.rehearsing import Rehearsal, run_rehearsal
from gpt_cursor_runner.config import Config, Repository, SandboxedCommand, State
from gpt_cursor_runner.landing.preparing import SetupFailed
from tests.building import Repo
from tests.recipes.projects import PROJECTS, VARIANTS, SmallProject
from tests.sandboxes import proof

PAGE = Path(__file__).parents[2] / "docs" / "recipes.md"
RECIPES = dict(
    re.findall(r"<!-- recipe: ([a-z-]+) -->\n+```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
)


def test_every_recipe_has_a_project():
    assert set(RECIPES) == set(PROJECTS)


def rehearsed(repo: Repo, recipe: str, state: Path, ecosystem: str) -> Rehearsal:
    settings = f'[[repository]]\nname = "app"\npath = "{repo.path}"\n{recipe}'
    repository = Repository.model_validate(tomllib.loads(settings)["repository"][0])
    assert repository.sandbox == "required"
    # As `gcr init` does: the registries of this machine.
    recipe_here = Proposal(ecosystem, "", repository.setup, repository.checks)
    applied = Registries.of_user().applied_to(recipe_here)
    shown = tuple(map(Path, applied.shown))
    repository = repository.model_copy(update={"setup": applied.setup, "sandbox_read_only": shown})
    config = Config(state=State(dir=state))
    try:
        return run_rehearsal(config, repository, proof(), state / "logs")
    except SetupFailed as failed:
        pytest.fail(failed.ended.output.decode(errors="replace"), pytrace=False)


def outputs(rehearsal: Rehearsal) -> str:
    return "\n".join(result.tail for result in rehearsal.on_branch)


def require(project: SmallProject) -> None:
    missing = [program for program in project.programs if shutil.which(program) is None]
    if missing:
        pytest.skip(f"this machine has no {' and no '.join(missing)}")


def recipe_names() -> list[ParameterSet]:
    names = []
    for name in PROJECTS:
        marks = []
        if name in VARIANTS:
            marks.append(pytest.mark.variant)
        names.append(pytest.param(name, marks=marks))
    return names


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_works(name, tmp_path):
    project = PROJECTS[name]
    require(project)
    repo = Repo.create(tmp_path / "app", project.files)
    ecosystem = proposals_for(Project.of_files(project.files))[0].ecosystem
    before = rehearsed(repo, RECIPES[name], tmp_path / "state", ecosystem)
    assert before.passes_on_branch, outputs(before)
    assert before.notices_hollow
    repo.commit({project.source: project.files[project.source].replace(project.good, project.bad)})
    after = rehearsed(repo, RECIPES[name], tmp_path / "state", ecosystem)
    assert after.on_branch[0].status == "failed", outputs(after)


@pytest.mark.parametrize("name", PROJECTS)
def test_init_proposes_the_recipe_first(name):
    settings = tomllib.loads(f'[[repository]]\nname = "app"\npath = "/"\n{RECIPES[name]}')
    recipe = settings["repository"][0]
    first = proposals_for(Project.of_files(PROJECTS[name].files))[0]
    assert list(map(written, first.setup)) == recipe.get("setup", [])
    assert list(map(written, first.checks)) == recipe["checks"]


def written(command: SandboxedCommand) -> dict[str, Any]:
    return command.model_dump(mode="json", exclude_defaults=True)
