"""The documents agree with the code."""

from __future__ import annotations

import base64
import hashlib
import hmac
import inspect
import json
import re
import time
from pathlib import Path
from typing import Any

import click
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import BaseModel

from gpt_cursor_runner import __version__, cli
from gpt_cursor_runner.alerts.messages import AlertContext, alert_body
from gpt_cursor_runner.alerts.probe import AlertsProbe
from gpt_cursor_runner.alerts.sinks.webhook import WebhookSink
from gpt_cursor_runner.config import (
    Alerts,
    Config,
    Health,
    Repository,
    RunnerLimits,
    SandboxLimits,
    Server,
    State,
)
from gpt_cursor_runner.gateway.health import exposition, view
from gpt_cursor_runner.health.monitor import judging
from gpt_cursor_runner.health.monitor.codes import COMMON_CODES, CodeTable
from gpt_cursor_runner.health.monitor.model import Identity
from gpt_cursor_runner.health.monitor.monitor import REFRESH_SECONDS
from gpt_cursor_runner.health.probes import disk_worker
from gpt_cursor_runner.health.probes.command import CommandProbe
from gpt_cursor_runner.health.probes.external_runner import ExternalRunnerProbe
from gpt_cursor_runner.health.probes.filesystem import FilesystemProbe
from gpt_cursor_runner.health.probes.monitor import MonitorProbe
from gpt_cursor_runner.health.probes.port import PortProbe
from gpt_cursor_runner.health.probes.queue import QueueProbe
from gpt_cursor_runner.health.probes.repositories import RepositoriesProbe
from gpt_cursor_runner.health.probes.resources import ResourcesProbe
from gpt_cursor_runner.health.probes.runner import RunnerProbe
from gpt_cursor_runner.health.probes.sandbox import SandboxProbe
from gpt_cursor_runner.health.probes.settings import SettingsProbe
from gpt_cursor_runner.health.probes.tunnel import (
    TunnelEdgeProbe,
    TunnelProcessProbe,
    TunnelPublicProbe,
)
from gpt_cursor_runner.health.probes.web import WebProbe
from gpt_cursor_runner.health.probes.webhook import WebhookProbe
from gpt_cursor_runner.landing import readiness
from gpt_cursor_runner.landing.sandbox import choosing
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
    "runner": RunnerLimits,
    "sandbox": SandboxLimits,
    "repository": Repository,
}


@pytest.mark.parametrize(("section", "model"), SECTIONS.items())
def test_every_setting_is_documented(section: str, model: type[BaseModel]):
    rows = [
        line
        for line in _text("docs/operating.md").split("## Commands")[0].splitlines()
        if line.startswith(f"| `{section}.")
    ]
    documented = set()
    for row in rows:
        for name in _names(row):
            documented.add(name.removeprefix(f"{section}.").removeprefix("."))
    assert documented == set(model.model_fields)
    assert set(Config.model_fields) == set(SECTIONS)


def test_every_command_is_documented():
    section = _text("docs/operating.md").split("## Commands")[1].split("## ")[0]
    documented = set(re.findall(r"`([a-z]+)`", section.split("Each has")[0]))
    assert documented == set(cli.main.list_commands(click.Context(cli.main)))


def test_every_kind_of_change_and_state_is_documented():
    text = _text("docs/webhook.md")
    for name in (*CHANGE_MODELS, *Status):
        assert f"`{name}`" in text, name


@pytest.mark.parametrize(
    "name", re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.py)`", (ROOT / "HACKING.md").read_text())
)
def test_every_file_of_the_tour_exists(name: str):
    assert (ROOT / "src/gpt_cursor_runner" / name).exists() or (ROOT / name).exists()


PROBES: tuple[Any, ...] = (
    WebProbe,
    PortProbe,
    FilesystemProbe,
    QueueProbe,
    WebhookProbe,
    RunnerProbe,
    MonitorProbe,
    ResourcesProbe,
    SettingsProbe,
    RepositoriesProbe,
    SandboxProbe,
    ExternalRunnerProbe,
    TunnelProcessProbe,
    TunnelEdgeProbe,
    TunnelPublicProbe,
    AlertsProbe,
)
CODES: dict[str, CodeTable] = {probe.spec.name: probe.codes for probe in PROBES} | {
    "own_*": CommandProbe.codes,
    "*": COMMON_CODES,
}


def test_every_probe_is_in_the_list_of_these_tests():
    names = {
        name
        for path in [*(PACKAGE / "health/probes").glob("*.py"), PACKAGE / "alerts/probe.py"]
        for name in re.findall(r"^class (\w+Probe):", path.read_text(), re.MULTILINE)
    }
    assert names == {probe.__name__ for probe in (*PROBES, CommandProbe)}


@pytest.mark.parametrize("check", CODES)
def test_the_codes_of_a_check_are_documented_with_their_state(check: str):
    documented = {code: state for name, code, state in _documented_codes() if name == check}
    assert documented == {code: str(row.status) for code, row in CODES[check].items()}


@pytest.mark.parametrize("probe", [*PROBES, CommandProbe])
def test_every_declared_code_is_used(probe: Any):
    module = inspect.getsource(inspect.getmodule(probe))  # type: ignore[arg-type]
    if probe is FilesystemProbe:
        module += inspect.getsource(disk_worker)
    if probe is RepositoriesProbe:
        module += inspect.getsource(readiness)
    if probe is SandboxProbe:
        module += inspect.getsource(choosing)
    if probe is RepositoriesProbe:
        module += inspect.getsource(readiness) + inspect.getsource(choosing)
    for code, _ in probe.codes.items():
        assert f'"{code}"' in module, code


def test_every_check_is_documented_with_its_spec():
    table = _section("docs/health.md", "## Checks", "### Every code")
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([\d.]+) s \| ([\d.]+) s \|", table, re.MULTILINE)
    documented = {
        (name, criticality, float(interval), float(deadline))
        for name, criticality, interval, deadline in rows
    }
    specs = [probe.spec for probe in PROBES]
    assert documented == {
        (spec.name, str(spec.criticality), spec.interval_seconds, spec.deadline_seconds)
        for spec in specs
    }


def test_the_documented_grace_of_a_start_is_that_of_the_checks():
    rows = _section("docs/health.md", "## When a reading counts", "## History")
    graces: dict[float, set[str]] = {}
    for probe in PROBES:
        if probe.spec.grace_seconds:
            name = probe.spec.name.split("_")[0]
            graces.setdefault(probe.spec.grace_seconds, set()).add(name)
    assert graces == {10.0: {"web", "port", "resources"}, 5.0: {"runner"}, 30.0: {"tunnel"}}
    for seconds in graces:
        assert f"{seconds:.0f} s" in rows


def test_the_documented_limits_of_the_monitor_are_the_shipped_ones():
    text = _text("docs/health.md")
    assert f"has not ticked for {judging.ENGINE_STALE_SECONDS:.0f} s" in text
    assert f"waits up to {REFRESH_SECONDS:g} s" in text


def test_every_member_of_a_health_answer_is_documented():
    published, identity = snapshot(*gateway_checks()), Identity("instance-1", 35205)
    answer = view.detailed_body(published, judging.judge(published, NOW), identity, NOW)
    text = _text("docs/health.md")
    for name in (*answer, *answer["components"]):
        assert f"`{name}`" in text or f'"{name}"' in text, name
    for name in answer["checks"]["runner"]:
        assert f'"{name}"' in text, name
    shown = _example("docs/health.md", "health", "json")
    assert list(json.loads(shown)) == [name for name in answer if name != "checks"]


def test_every_metric_is_documented_and_no_other():
    published = snapshot(*gateway_checks())
    text = exposition.exposition(
        published, judging.judge(published, NOW), Identity("instance-1", 5555), NOW
    ).decode()
    suffixes = {"counter": "_total", "info": "_info"}
    names = {family.name + suffixes.get(family.type, "") for family in _families(text)}
    assert set(re.findall(r"`(gcr_\w+)`", _text("docs/health.md"))) == names


def test_the_documented_alert_is_the_alert_that_is_sent():
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
    routes = (ROOT / "src/gpt_cursor_runner/gateway/health/routes.py").read_text()
    table = _section("docs/health.md", "## Routes", "## The answer")
    for route in re.findall(r'^            "(/[a-z/]+)": self', routes, re.MULTILINE):
        assert f"| `{route}` |" in table, route


def _documented_codes() -> set[tuple[str, str, str]]:
    """Name of the check, code and state of every row."""
    table = _section("docs/health.md", "### Every code", "## When")
    codes = set()
    for row in table.splitlines():
        cells = row.split("|")
        if row.startswith("| `"):
            for name, code in re.findall(r"`([^`.]+)\.([^`]+)`", cells[1]):
                codes.add((name, code, cells[2].strip()))
    return codes


def _families(text: str) -> list[Any]:
    return list(text_string_to_metric_families(text))


def _section(name: str, begin: str, end: str) -> str:
    return _text(name).split(f"\n{begin}\n")[1].split(f"\n{end}")[0]


def _example(name: str, what: str, language: str) -> str:
    match = re.search(rf"<!-- example: {what} -->\n```{language}\n(.*?)```", _text(name), re.DOTALL)
    assert match is not None
    return match[1]


def _text(name: str) -> str:
    return (ROOT / name).read_text()


def _names(row: str) -> list[str]:
    return re.findall(r"`([a-z_.]+)`", row.split("|")[1])
