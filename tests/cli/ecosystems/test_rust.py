"""What is proposed for Rust packages."""

from __future__ import annotations

from tests.cli.ecosystems.builders import proposed_for, titles

PACKAGE = '[package]\nname = "app"\nversion = "1.0.0"\n'


def test_dependencies_are_fetched_and_built_once():
    manifest = PACKAGE + '\n[dev-dependencies]\nserde = "1"\n'
    proposal = proposed_for({"Cargo.toml": manifest, "Cargo.lock": ""})[0]
    setup, check = proposal.setup[0], proposal.checks[0]
    assert "cargo fetch && cargo test --no-run --offline" in setup.command[-1]
    assert setup.keyed_by == ("Cargo.toml", "Cargo.lock")
    assert setup.provides == (".cargo-home", "target")
    assert check.command[-1].endswith("cargo test --offline") and check.network == "loopback"


def test_the_crates_of_the_tree_are_always_built_again():
    manifest = PACKAGE + '\n[dependencies]\nserde = "1"\n'
    check = proposed_for({"Cargo.toml": manifest})[0].checks[0]
    assert "-name '*.rs' -exec touch" in check.command[-1] and check.caches == ()


def test_a_package_without_dependencies_needs_no_setup():
    proposal = proposed_for({"Cargo.toml": PACKAGE})[0]
    assert (proposal.setup, proposal.checks[0].command) == ((), ("cargo", "test", "--offline"))


def test_a_workspace_tests_all_its_packages():
    files = {
        "Cargo.toml": '[workspace]\nmembers = ["a"]\n',
        "a/Cargo.toml": PACKAGE + '[target."cfg(unix)".dependencies]\nlibc = "0.2"\n',
    }
    proposal = proposed_for(files)[0]
    assert proposal.checks[0].command[-1].endswith("cargo test --offline --workspace")
    assert proposal.setup[0].keyed_by == ("Cargo.toml", "a/Cargo.toml")


def test_nothing_is_proposed_without_a_manifest():
    assert titles({"src/main.rs": ""}) == []
