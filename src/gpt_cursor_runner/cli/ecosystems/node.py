"""Node projects: npm, pnpm or Yarn by the lock file, and the scripts of
package.json.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from gpt_cursor_runner.cli.ecosystems.project import SETUP_SECONDS, Project, Proposal
from gpt_cursor_runner.config import Check, Setup

NAME = "Node"
_MANIFEST = "package.json"
# The script that `npm init` writes.
_NO_TEST = "no test specified"
# Scripts that run the tests alone, where `test` also runs linters or a browser.
_OTHER_SCRIPTS = ("tests-only", "test-only", "test:unit", "test-unit", "unit", "mocha", "jest")
_DEPENDENCIES = ("dependencies", "devDependencies", "optionalDependencies", "workspaces")
_TOOLS = '"$TMPDIR"/tools'
# By the first number of `lockfileVersion`; each still runs on older Nodes.
_PNPM_OF_LOCK = {"5": "pnpm@7", "6": "pnpm@8", "9": "pnpm@10"}
_FIRST_YARN = "yarn@1"


def proposals(project: Project) -> list[Proposal]:
    manifest = _manifest(project)
    if manifest is None:
        return []
    proposed = []
    for setup_title, setup in _setups(project, manifest):
        for check_title, check in _checks(manifest):
            title = check_title
            if setup_title:
                title = f"{setup_title}, {check_title}"
            proposed.append(Proposal(NAME, title, setup, (check,)))
    return proposed


def _manifest(project: Project) -> dict[str, Any] | None:
    try:
        manifest = json.loads(project.read(_MANIFEST))
    except ValueError:
        return None
    if isinstance(manifest, dict):
        return manifest
    return None


def _checks(manifest: Mapping[str, Any]) -> Iterator[tuple[str, Check]]:
    scripts = manifest.get("scripts") or {}
    has_test = "test" in scripts and _NO_TEST not in scripts["test"]
    if has_test:
        yield "npm test", _check("npm", "test")
        if "pretest" in scripts or "posttest" in scripts:
            yield "npm test alone", _check("npm", "test", "--ignore-scripts")
        if "build" in scripts:
            yield "npm test after a build", _check("sh", "-c", "npm run build && npm test")
    for name in _OTHER_SCRIPTS:
        if name in scripts:
            yield f"npm run {name}", _check("npm", "run", name)
    if not has_test:
        # It finds the tests by their names; Node has it from version 18 on.
        yield "node --test", _check("node", "--test")


def _check(*command: str) -> Check:
    return Check(name="tests", command=command)


def _setups(
    project: Project, manifest: Mapping[str, Any]
) -> Iterator[tuple[str, tuple[Setup, ...]]]:
    if not any(manifest.get(name) for name in _DEPENDENCIES):
        yield "", ()
        return
    title, steps = _installation(project, manifest)
    yield title, (_setup(project, steps),)
    # Scripts of packages may download what they need, or expect a clone.
    without_scripts = [*steps]
    without_scripts[-1] += " --ignore-scripts"
    yield f"{title} without scripts", (_setup(project, without_scripts),)


def _installation(project: Project, manifest: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The name of the package manager, and the steps that install with it."""
    if project.has("pnpm-lock.yaml"):
        return "pnpm", _with_tool(_pnpm(project, manifest), "pnpm install --frozen-lockfile")
    if project.has("yarn.lock"):
        return "Yarn", _yarn(project, manifest)
    if project.present(["package-lock.json", "npm-shrinkwrap.json"]):
        return "npm ci", ["npm ci"]
    return "npm install", ["npm install --no-package-lock"]


def _pnpm(project: Project, manifest: Mapping[str, Any]) -> str:
    named = _package_manager(manifest)
    if named.startswith("pnpm@"):
        return named
    version = re.search(r"^lockfileVersion: ['\"]?(\d+)", project.read("pnpm-lock.yaml"), re.M)
    if version is None:
        return "pnpm"
    return _PNPM_OF_LOCK.get(version[1], "pnpm")


def _yarn(project: Project, manifest: Mapping[str, Any]) -> list[str]:
    if "__metadata:" not in project.read("yarn.lock"):
        return _with_tool(_FIRST_YARN, "yarn install --frozen-lockfile")
    version = _package_manager(manifest).removeprefix("yarn@") or "latest"
    # Its own default layout is no directory of modules.
    return [
        "export YARN_NODE_LINKER=node-modules",
        *_with_tool(f"@yarnpkg/cli-dist@{version}", "yarn install --immutable"),
    ]


def _package_manager(manifest: Mapping[str, Any]) -> str:
    """The package manager that the project names, without its checksum."""
    return str(manifest.get("packageManager") or "").partition("+")[0]


def _with_tool(package: str, arguments: str) -> list[str]:
    """The steps that install with another package manager. It is kept beside
    the modules, since scripts may call it by its name.
    """
    name = arguments.split()[0]
    kept = f"../.tools/node_modules/.bin/{name}"
    return [
        f"mkdir -p {_TOOLS} node_modules/.bin",
        # With --prefix npm would not read the settings of the machine.
        f"(cd {_TOOLS} && npm install {package})",
        f"cp -R {_TOOLS} node_modules/.tools",
        f"ln -s {kept} node_modules/.bin/{name}",
        f"{_TOOLS}/node_modules/.bin/{arguments}",
    ]


def _setup(project: Project, steps: list[str]) -> Setup:
    locks = (
        "package-lock.json",
        "npm-shrinkwrap.json",
        "pnpm-lock.yaml",
        "pnpm-workspace.yaml",
        "yarn.lock",
        ".yarnrc.yml",
        ".npmrc",
    )
    manifests = [path for path in project.named(_MANIFEST) if "node_modules" not in path]
    return Setup(
        command=("sh", "-c", " && ".join(steps)),
        keyed_by=project.present([_MANIFEST, *locks, *manifests]),
        provides=("node_modules",),
        network="host",
        caches=("~/.npm",),
        timeout_seconds=SETUP_SECONDS,
    )
