"""`make setup` on an incomplete machine names the missing package and leaves no
partial environment.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TOOLS = ("sh", "sed", "dirname", "rm", "cat")
GOOD_GIT = "echo git version 2.39.5"
OLD_GIT = "echo git version 2.30.2"
OLD_PYTHON = "exit 1"
PYTHON_WITHOUT_VENV = f'case "$2" in *"import venv"*) exit 1;; *) exec {sys.executable} "$@";; esac'


@pytest.mark.parametrize(
    ("programs", "message"),
    [
        ({"git": GOOD_GIT}, "there is no Python 3.11 or newer"),
        ({"git": GOOD_GIT, "python3": OLD_PYTHON}, "there is no Python 3.11 or newer"),
        ({"python3": f'exec {sys.executable} "$@"'}, "git is not installed"),
        ({"git": OLD_GIT, "python3": f'exec {sys.executable} "$@"'}, "git 2.30 is too old"),
        ({"git": GOOD_GIT, "python3": PYTHON_WITHOUT_VENV}, "comes without its venv module"),
    ],
    ids=["no python", "old python", "no git", "old git", "no venv"],
)
def test_a_missing_program_is_named_with_its_package(
    tmp_path: Path, programs: dict[str, str], message: str
):
    done = _setup(tmp_path, programs)
    assert done.returncode == 1
    assert message in done.stderr
    assert "next: install" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_the_venv_package_is_named_for_the_installed_python(tmp_path: Path):
    done = _setup(tmp_path, {"git": GOOD_GIT, "python3": PYTHON_WITHOUT_VENV})
    assert f"apt install python{sys.version_info[0]}.{sys.version_info[1]}-venv" in done.stderr


def _setup(place: Path, programs: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the set-up with only these programs and the shell's own tools on the
    path.
    """
    (place / "scripts").mkdir()
    script = shutil.copy(ROOT / "scripts/setup.sh", place / "scripts")
    only = place / "bin"
    only.mkdir()
    for name in TOOLS:
        (only / name).symlink_to(str(shutil.which(name)))
    for name, body in programs.items():
        (only / name).write_text(f"#!/bin/sh\n{body}\n")
        (only / name).chmod(0o755)
    return subprocess.run(
        [str(only / "sh"), str(script)],
        env={"PATH": str(only)},
        capture_output=True,
        text=True,
        check=False,
    )
