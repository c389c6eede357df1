"""What the documents say is so."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click
import pytest
from pydantic import BaseModel

from gpt_cursor_runner import __version__, cli
from gpt_cursor_runner.config import Alerts, Config, Health, Repository, Server, State
from gpt_cursor_runner.patch.parsing import CHANGE_MODELS, parse_patch
from gpt_cursor_runner.patch.status import Status

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def test_the_newest_entry_of_the_changelog_is_this_version():
    assert re.findall(r"^## \[([^]]+)\]", _text("CHANGELOG.md"), re.MULTILINE)[0] == __version__


def test_the_readmes_patch_is_a_patch():
    example = re.search(r"<!-- example: patch -->\n```json\n(.*?)```", _text("README.md"), re.DOTALL)
    assert example is not None
    assert parse_patch(json.loads(example[1])).faults == ()


def test_the_demos_patch_is_a_patch():
    assert parse_patch(json.loads(_text("demo/patch.json"))).faults == ()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_between_documents_leads_somewhere(document: Path):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text()):
        assert (document.parent / target).exists(), target


SECTIONS = {"server": Server, "state": State, "health": Health, "alerts": Alerts, "repository": Repository}


@pytest.mark.parametrize(("section", "model"), SECTIONS.items())
def test_every_setting_is_documented(section: str, model: type[BaseModel]):
    rows = [line for line in _text("docs/operating.md").splitlines() if line.startswith(f"| `{section}.")]
    told = {name.removeprefix(f"{section}.").removeprefix(".") for row in rows for name in _names(row)}
    assert told == set(model.model_fields)
    assert set(Config.model_fields) == {"server", "state", "health", "alerts", "repository"}


def test_every_command_is_documented():
    said = _text("docs/operating.md").split("## Commands")[1].split("## ")[0]
    told = set(re.findall(r"`([a-z]+)`", said.split("Each has")[0]))
    assert told == set(cli.main.list_commands(click.Context(cli.main)))


def test_every_kind_of_change_and_state_is_documented():
    text = _text("docs/webhook.md")
    for name in (*CHANGE_MODELS, *Status):
        assert f"`{name}`" in text, name


@pytest.mark.parametrize("name", re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.py)`", (ROOT / "HACKING.md").read_text()))
def test_every_file_of_the_tour_exists(name: str):
    assert (ROOT / "src/gpt_cursor_runner" / name).exists() or (ROOT / name).exists()


def _text(name: str) -> str:
    return (ROOT / name).read_text()


def _names(row: str) -> list[str]:
    return re.findall(r"`([a-z_.]+)`", row.split("|")[1])
