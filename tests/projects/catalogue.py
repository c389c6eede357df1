"""The projects, and where their sources come from."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_SECONDS = 600


@dataclass(frozen=True)
class RealProject:
    """A package of a registry that has its tests with it. `inside` is the
    directory of its archive that is the project. `broken` is a source file, a
    text that stands in it once, and the text that breaks it.
    """

    name: str
    registry: Literal["pip", "npm"]
    requirement: str
    inside: str
    broken: tuple[str, str, str]


# None in C: the packages that have such sources leave out a part of them. Clone
# one, and name it with --repository.
PROJECTS = (
    RealProject(
        "click",
        "pip",
        "click",
        ".",
        ("src/click/_utils.py", "import enum", "import no_such_module"),
    ),
    RealProject(
        "requests",
        "pip",
        "requests",
        ".",
        ("src/requests/hooks.py", '= ["response"]', '= ["request"]'),
    ),
    RealProject(
        "object-inspect",
        "npm",
        "object-inspect@1.13.2",
        ".",
        ("index.js", "return 'null';", "return 'nil';"),
    ),
)


def download(project: RealProject, directory: Path) -> Path:
    """The sources of a project, below `directory`."""
    directory.mkdir(parents=True)
    if project.registry == "pip":
        name = project.requirement
        options = ["--quiet", "--no-deps", "--no-binary", name]
        _run(sys.executable, "-m", "pip", "download", *options, name, cwd=directory)
    else:
        _run("npm", "pack", "--silent", project.requirement, cwd=directory)
    (archive,) = directory.glob("*gz")
    with tarfile.open(archive) as packed:
        packed.extractall(directory, filter="data")
    archive.unlink()
    (top,) = directory.iterdir()
    return top / project.inside


def _run(*command: str, cwd: Path) -> None:
    subprocess.run(command, cwd=cwd, check=True, timeout=_SECONDS, stdout=subprocess.DEVNULL)
