"""What is proposed for Node projects, by their manifest and lock file."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cli.ecosystems.builders import proposed_for, scripts, titles


def manifest(**members: Any) -> str:
    return json.dumps({"scripts": {"test": "mocha"}, "devDependencies": {"mocha": "*"}} | members)


@pytest.mark.parametrize(
    ("lock", "content", "command"),
    [
        ("package-lock.json", "{}", "npm ci"),
        ("npm-shrinkwrap.json", "{}", "npm ci"),
        ("pnpm-lock.yaml", "lockfileVersion: '6.0'\n", "pnpm@8"),
        ("pnpm-lock.yaml", "lockfileVersion: '9.0'\n", "pnpm install --frozen-lockfile"),
        ("yarn.lock", "# yarn lockfile v1\n", "yarn install --frozen-lockfile"),
        ("yarn.lock", "__metadata:\n  version: 8\n", "yarn install --immutable"),
        ("README.md", "", "npm install --no-package-lock"),
    ],
)
def test_the_lock_file_chooses_the_package_manager(lock, content, command):
    files = {"package.json": manifest(), lock: content}
    assert command in scripts(files)[0]
    setup = proposed_for(files)[0].setup[0]
    assert (setup.provides, setup.network) == (("node_modules",), "host")
    assert set(setup.keyed_by) == {"package.json", lock} - {"README.md"}


def test_the_named_version_of_the_package_manager_is_used():
    files = {"package.json": manifest(packageManager="pnpm@9.1.0+sha512.00"), "pnpm-lock.yaml": ""}
    assert "npm install pnpm@9.1.0)" in scripts(files)[0]
    files = {"package.json": manifest(packageManager="yarn@4.1.0"), "yarn.lock": "__metadata:"}
    assert "@yarnpkg/cli-dist@4.1.0" in scripts(files)[0]


def test_the_test_script_is_tried_first_and_with_less_around_it():
    all_scripts = {"pretest": "eslint .", "test": "tape", "tests-only": "tape test", "build": "tsc"}
    assert titles({"package.json": manifest(scripts=all_scripts)})[:4] == [
        "npm install, npm test",
        "npm install, npm test alone",
        "npm install, npm test after a build",
        "npm install, npm run tests-only",
    ]


def test_a_project_without_dependencies_installs_nothing():
    files = {"package.json": manifest(devDependencies={}), "test.js": ""}
    assert (titles(files), proposed_for(files)[0].setup) == (["npm test"], ())


def test_without_a_test_script_node_finds_the_tests():
    placeholder = {"test": 'echo "Error: no test specified" && exit 1'}
    for test_scripts in ({}, placeholder, None):
        files = {"package.json": manifest(devDependencies={}, scripts=test_scripts)}
        assert proposed_for(files)[0].checks[0].command == ("node", "--test")


@pytest.mark.parametrize("text", ["", "{", "[]", "1"])
def test_nothing_is_proposed_without_a_manifest(text):
    assert titles({"package.json": text}) == []


def test_manifests_of_workspaces_are_keys():
    files = {
        "package.json": manifest(workspaces=["packages/*"]),
        "packages/a/package.json": "{}",
        "node_modules/b/package.json": "{}",
    }
    assert proposed_for(files)[0].setup[0].keyed_by == ("package.json", "packages/a/package.json")
