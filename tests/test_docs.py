"""What the documents say is so."""

from __future__ import annotations

import ast
import base64
import hashlib
import hmac
import importlib
import json
import re
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import BaseModel

from gpt_cursor_runner import __version__, cli
from gpt_cursor_runner.alerts.messages import AlertContext, alert_body
from gpt_cursor_runner.alerts.sinks.webhook import WebhookSink
from gpt_cursor_runner.config import Alerts, Config, Health, Repository, Server, State
from gpt_cursor_runner.gateway.health import exposition, view
from gpt_cursor_runner.health.monitor import judging
from gpt_cursor_runner.health.monitor.model import Identity, ProbeSpec
from gpt_cursor_runner.ledger.alerts import Alert, Incident
from gpt_cursor_runner.patch.parsing import CHANGE_MODELS, parse_patch
from gpt_cursor_runner.patch.status import Status
from tests.health.builders import NOW, gateway_checks, snapshot
from tests.receiver import Receiver

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src/gpt_cursor_runner"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def test_the_newest_release_in_the_changelog_is_this_version():
    entries = re.findall(r"^## \[([^]]+)\]", _text("CHANGELOG.md"), re.MULTILINE)
    assert next(entry for entry in entries if entry != "Unreleased") == __version__


def test_the_readmes_patch_is_a_patch():
    example = re.search(
        r"<!-- example: patch -->\n```json\n(.*?)```", _text("README.md"), re.DOTALL
    )
    assert example is not None
    assert parse_patch(json.loads(example[1])).faults == ()


def test_the_demos_patch_is_a_patch():
    assert parse_patch(json.loads(_text("demo/patch.json"))).faults == ()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_between_documents_leads_somewhere(document: Path):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text()):
        assert (document.parent / target).exists(), target


SECTIONS = {
    "server": Server,
    "state": State,
    "health": Health,
    "alerts": Alerts,
    "repository": Repository,
}


@pytest.mark.parametrize(("section", "model"), SECTIONS.items())
def test_every_setting_is_documented(section: str, model: type[BaseModel]):
    rows = [
        line
        for line in _text("docs/operating.md").splitlines()
        if line.startswith(f"| `{section}.")
    ]
    told = {
        name.removeprefix(f"{section}.").removeprefix(".") for row in rows for name in _names(row)
    }
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


@pytest.mark.parametrize(
    "name", re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.py)`", (ROOT / "HACKING.md").read_text())
)
def test_every_file_of_the_tour_exists(name: str):
    assert (ROOT / "src/gpt_cursor_runner" / name).exists() or (ROOT / name).exists()


# By the first part of a check's name; `own_<name>` is the owner's own command.
PROBES = {
    "web": ["health/probes/web"],
    "port": ["health/probes/port"],
    "filesystem": ["health/probes/filesystem", "health/probes/disk_worker"],
    "queue": ["health/probes/queue"],
    "webhook": ["health/probes/webhook"],
    "runner": ["health/probes/runner"],
    "monitor": ["health/probes/monitor"],
    "resources": ["health/probes/resources"],
    "repositories": ["health/probes/repositories"],
    "external_runner": ["health/probes/external_runner"],
    "tunnel": ["health/probes/tunnel"],
    "alerts": ["alerts/probe"],
    "own": ["health/probes/command"],
    "*": [f"health/monitor/{name}" for name in ("judging", "damping", "containing")],
}


def test_every_probe_is_in_the_list_of_these_tests():
    files = {
        f"health/probes/{path.stem}"
        for path in (PACKAGE / "health/probes").glob("[a-z]*.py")
        if re.search(r"^class \w+Probe:", path.read_text(), re.MULTILINE)
    }
    assert len(files) > 10
    assert files <= {one for modules in PROBES.values() for one in modules}


@pytest.mark.parametrize(("check", "modules"), PROBES.items())
def test_every_code_of_a_check_is_in_the_table_and_no_other(check: str, modules: list[str]):
    said = {
        code
        for module in modules
        for code in _codes(ast.parse((PACKAGE / f"{module}.py").read_text()))
    }
    told = {
        code for name, code in _documented_codes() if name == check or name.startswith(f"{check}_")
    }
    assert told == said


def test_every_check_is_documented_with_its_spec():
    table = _section("docs/health.md", "## Checks", "### Every code")
    told = re.findall(r"^\| `(\w+)` \| (\w+) \| ([\d.]+) s \| ([\d.]+) s \|", table, re.MULTILINE)
    assert {
        (name, kind, float(every), float(deadline)) for name, kind, every, deadline in told
    } == {
        (spec.name, str(spec.criticality), spec.interval_seconds, spec.deadline_seconds)
        for modules in PROBES.values()
        for part in vars(_module(modules[0])).values()
        if isinstance(spec := getattr(part, "spec", None), ProbeSpec)
    }


def test_every_member_of_a_health_answer_is_documented():
    seen, identity = snapshot(*gateway_checks()), Identity("instance-1", 35205)
    answer = view.detailed_body(seen, judging.judge(seen, NOW), identity, NOW)
    text = _text("docs/health.md")
    for name in (*answer, *answer["components"]):
        assert f"`{name}`" in text or f'"{name}"' in text, name
    for name in answer["checks"]["runner"]:
        assert f'"{name}"' in text, name
    shown = _example("docs/health.md", "health", "json")
    assert list(json.loads(shown)) == [name for name in answer if name != "checks"]


def test_every_metric_is_documented_and_no_other():
    seen = snapshot(*gateway_checks())
    text = exposition.exposition(
        seen, judging.judge(seen, NOW), Identity("instance-1", 5555), NOW
    ).decode()
    names = {
        f"{one.name}{ {'counter': '_total', 'info': '_info'}.get(one.type, '') }"
        for one in _families(text)
    }
    assert set(re.findall(r"`(gcr_\w+)`", _text("docs/health.md"))) == names


def test_the_documented_alert_is_the_one_that_is_sent():
    shown = json.loads(_example("docs/health.md", "alert", "json"))
    incident = Incident(shown["incident_id"], "runner", "warning", "down", 0.0, 0.0)
    context = AlertContext("trigger", "ghost_runner", "warning", "fail", "down", "degraded", 0.0)
    moments = {name: shown[name] for name in ("at", "since")}
    assert shown == {**alert_body(shown["key"], incident, context, shown["instance_id"]), **moments}


def test_the_documented_lines_verify_a_signature():
    scope: dict[str, Any] = {"base64": base64, "hashlib": hashlib, "hmac": hmac, "time": time}
    exec(_example("docs/health.md", "signature", "python"), scope)  # noqa: S102  the documents' own lines
    secret, receiver = "whsec_" + base64.b64encode(b"s" * 32).decode(), Receiver()
    with receiver.up():
        WebhookSink(receiver.url, secret, time.time).send(
            Alert("k-1", "webhook", "i", "runner", "trigger", {}, 0, 0)
        )
    arrived = receiver.arrived[0]
    assert scope["is_genuine"](secret, arrived.headers, arrived.body)
    assert not scope["is_genuine"](secret, arrived.headers, arrived.body + b" ")


def test_every_health_route_is_documented():
    door = (ROOT / "src/gpt_cursor_runner/gateway/health/routes.py").read_text()
    table = _section("docs/health.md", "## Routes", "## The answer")
    for route in re.findall(r'^            "(/[a-z/]+)": self', door, re.MULTILINE):
        assert f"| `{route}` |" in table, route


def _codes(tree: ast.AST) -> Iterator[str]:
    """The codes a module can say: what stands after a Status, what is named
    code, and the tables of codes.
    """
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="_down" | "_stalled"), args=[first, *_]):
                yield from _constants(first)
            case ast.Call(args=parts) | ast.Tuple(elts=parts):
                for before, part in pairwise(parts):
                    if (
                        isinstance(before, ast.Attribute)
                        and getattr(before.value, "id", "") == "Status"
                    ):
                        yield from _constants(part)
            case ast.Assign(
                targets=[ast.Name(id="_REMEDIES" | "_SAID")], value=ast.Dict(keys=keys)
            ):
                yield from (code for key in keys if key for code in _constants(key))
            case ast.Assign(
                targets=[ast.Name(id="_CODES" | "_BY_WORD")], value=ast.Dict(values=values)
            ):
                yield from (code for value in values for code in _constants(value))
            case ast.Assign(targets=[ast.Name(id="code")], value=value):
                yield from _constants(value)
            case ast.Assign(
                targets=[ast.Tuple(elts=[ast.Name(id="code"), *_])],
                value=ast.Tuple(elts=[value, *_]),
            ):
                yield from _constants(value)
            case ast.FunctionDef(name="_code", body=lines):
                yield from (
                    code
                    for line in lines
                    if isinstance(line, ast.Return)
                    for code in _constants(line.value)
                )
            case ast.If(test=ast.Compare(left=ast.Name(id="process"), comparators=[values])):
                yield from _constants(values)
        if isinstance(node, ast.Call):
            yield from (
                code
                for word in node.keywords
                if word.arg == "code"
                for code in _constants(word.value)
            )
            if getattr(node.func, "attr", "") == "get" and len(node.args) == 2:
                yield from (
                    code for code in _constants(node.args[1]) if "_CODES" in ast.dump(node.func)
                )


def _constants(node: ast.AST | None) -> Iterator[str]:
    match node:
        case ast.Constant(value=str(code)) if re.fullmatch(r"[a-z][a-z_]+", code):
            yield code
        case ast.IfExp(body=one, orelse=other):
            yield from _constants(one)
            yield from _constants(other)
        case ast.Tuple(elts=several):
            for one in several:
                yield from _constants(one)


def _documented_codes() -> set[tuple[str, str]]:
    table = _section("docs/health.md", "### Every code", "## When")
    rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    return {(name, code) for row in rows for name, code in re.findall(r"`([^`.]+)\.([^`]+)`", row)}


def _families(text: str) -> list[Any]:
    return list(text_string_to_metric_families(text))


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"gpt_cursor_runner.{name.replace('/', '.')}")


def _section(name: str, begin: str, end: str) -> str:
    return _text(name).split(f"\n{begin}\n")[1].split(f"\n{end}")[0]


def _example(name: str, what: str, language: str) -> str:
    found = re.search(rf"<!-- example: {what} -->\n```{language}\n(.*?)```", _text(name), re.DOTALL)
    assert found is not None
    return found[1]


def _text(name: str) -> str:
    return (ROOT / name).read_text()


def _names(row: str) -> list[str]:
    return re.findall(r"`([a-z_.]+)`", row.split("|")[1])
