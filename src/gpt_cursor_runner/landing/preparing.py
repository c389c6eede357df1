"""Prepares the workspace in which the checks of a tree run: its files, the
layers of the setup commands, the caches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gpt_cursor_runner.config import Check, Repository, SandboxedCommand, Setup, State
from gpt_cursor_runner.landing.checking import CheckResult, run_check
from gpt_cursor_runner.landing.git import Git
from gpt_cursor_runner.landing.history import write_history
from gpt_cursor_runner.landing.layers import Layer, LayerStore, layer_keys
from gpt_cursor_runner.landing.pristine import PristineTree
from gpt_cursor_runner.landing.sandbox.ended import Ended
from gpt_cursor_runner.landing.sandbox.model import (
    INSIDE,
    INSIDE_HOME,
    Confined,
    Mount,
    Sandbox,
)
from gpt_cursor_runner.landing.sandbox.running import run_command
from gpt_cursor_runner.landing.tree_files import give, uid_of
from gpt_cursor_runner.landing.workspace import Workspace
from gpt_cursor_runner.patch.faults import WorldFailed

_MAX_GENERATED = 20
_BUILD_DIRECTORIES = frozenset({"build", "dist", "node_modules"})


class SetupFailed(Exception):
    """A setup command did not succeed."""

    def __init__(self, setup: Setup, ended: Ended) -> None:
        super().__init__(f"the setup command {' '.join(setup.command)} {ended.status}")
        self.setup = setup
        self.ended = ended


@dataclass(frozen=True)
class PreparedLayer:
    """The layer of one setup command. `ended` is None when an earlier patch had
    made it; without a sandbox nothing is kept and `key` is empty. `generated`
    are sources that it made and does not provide, so that they are lost.
    """

    setup: Setup
    key: str
    ended: Ended | None
    generated: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stores:
    """The directories of one repository and branch that outlive a patch."""

    pristine: Path
    layers: Path
    caches: Path
    counts: Path

    @classmethod
    def of(cls, state: State, repository: Repository) -> Stores:
        # Two branches of one repository are worked on side by side.
        branch = hashlib.sha256(repository.branch.encode()).hexdigest()[:12]
        return cls(
            state.trees_dir / f"{repository.name}-{branch}",
            state.layers_dir / repository.name,
            state.caches_dir / repository.name,
            state.trees_dir / f"{repository.name}-{branch}.json",
        )


@dataclass(frozen=True)
class ReadyWorkspace:
    """A prepared workspace, in which checks run one after the other."""

    preparation: Preparation
    workspace: Workspace
    mounts: tuple[Mount, ...]
    commit: str

    def run(self, check: Check, log: Path) -> CheckResult:
        """Run one check and keep its output in `log`; raises as `run_check`."""
        preparation = self.preparation
        mounts = (*self.mounts, *preparation.caches_of(check))
        if check.git:
            mounts += self._history()
        return run_check(check, self.workspace, preparation.sandbox, log, preparation.tick, mounts)

    def _history(self) -> tuple[Mount, ...]:
        sandbox = self.preparation.sandbox
        directory = self.workspace.directory / "history"
        if sandbox.tier == "none":
            directory = self.workspace.tree / ".git"
        if not directory.exists():
            git, branch = self.preparation.git, self.preparation.repository.branch
            write_history(git, self.commit, branch, directory, sandbox.user)
        return (Mount(directory, f"{INSIDE}/.git", writable=True),)


@dataclass(frozen=True)
class Preparation:
    """The means to prepare workspaces of one repository and branch.

    Setup commands run in a workspace beside `workspace`. `tick` is called
    several times a second and raises when it must stop.
    """

    repository: Repository
    git: Git
    sandbox: Sandbox
    stores: Stores
    workspace: Path
    tick: Callable[[], None]
    report: Callable[[PreparedLayer], None] = lambda _: None

    def prepare(self, workspace: Workspace, tree: str) -> tuple[Mount, ...]:
        """Lay the tree out in an entered workspace; return the directories that
        a sandbox shows beside it.

        Raises SetupFailed, or WorldFailed when git or this machine fails.
        """
        if self.sandbox.tier == "none":
            workspace.fill(self.git, tree, self.tick)
            self._run_setup_here(workspace)
            return ()
        layers = self._layers(tree)
        return self._lay_out(workspace, tree, layers)

    def layer_keys(self, tree: str) -> list[str]:
        """The key of each setup command's layer for a tree."""
        return layer_keys(self.git, tree, self.repository.setup, uid_of(self.sandbox.user))

    @contextmanager
    def open(self, tree: str, commit: str) -> Iterator[ReadyWorkspace]:
        """A workspace with the tree, until the context ends. `commit` is the
        history that checks see. Raises as `prepare` does.
        """
        with Workspace(self.workspace, self.sandbox.user) as workspace:
            mounts = self.prepare(workspace, tree)
            yield ReadyWorkspace(self, workspace, mounts, commit)

    def caches_of(self, command: SandboxedCommand) -> tuple[Mount, ...]:
        return tuple(self._cache(path) for path in command.caches)

    def _lay_out(
        self, workspace: Workspace, tree: str, layers: Sequence[Layer]
    ) -> tuple[Mount, ...]:
        if self.sandbox.layered:
            # The last layer on top, as it was made.
            lower = [layer.files for layer in reversed(layers)]
            pristine = PristineTree(self.stores.pristine, self.sandbox.user)
            workspace.lay_over([*lower, pristine.update(self.git, tree, self.tick)])
            return ()
        workspace.fill(self.git, tree, self.tick)
        mounts = []
        for layer in layers:
            for provided in layer.provides:
                mounts.append(Mount(layer.files / provided, f"{INSIDE}/{provided}"))
        return tuple(mounts)

    def _layers(self, tree: str) -> list[Layer]:
        setups = self.repository.setup
        if not setups:
            return []
        store = LayerStore(self.stores.layers, self.sandbox.user)
        layers: list[Layer] = []
        self._refuse_hidden(tree)
        for setup, key in zip(setups, self.layer_keys(tree), strict=True):
            layer = store.find(key, setup)
            prepared = PreparedLayer(setup, key, None)
            if layer is None:
                layer, prepared = self._make_layer(store, setup, key, tree, layers)
            self.report(prepared)
            layers.append(layer)
        return layers

    def _make_layer(
        self, store: LayerStore, setup: Setup, key: str, tree: str, before: Sequence[Layer]
    ) -> tuple[Layer, PreparedLayer]:
        place = self.workspace.with_name(f"{self.workspace.name}-setup")
        with Workspace(place, self.sandbox.user) as workspace:
            mounts = self._lay_out(workspace, tree, before)
            ended = self._run(setup, workspace, mounts)
            generated = _generated(workspace, setup)
            layer = store.keep(key, setup, workspace)
            return layer, PreparedLayer(setup, key, ended, generated)

    def _refuse_hidden(self, tree: str) -> None:
        """A file of the tree below a path that setup provides would be hidden
        from the checks: they would not test the patch.
        """
        provided = [path for setup in self.repository.setup for path in setup.provides]
        # `Git` takes paths literally, not as patterns.
        hidden = self.git.run("ls-tree", "-r", "--name-only", "-z", tree, "--", *provided)
        if hidden:
            path = hidden.split(b"\0")[0].decode(errors="replace")
            raise WorldFailed(
                "setup_hides_tree",
                f"the tree has {path}, and setup provides something in its place",
                "Take it out of the repository, or out of `provides` in runner.toml.",
                retry=False,
            )

    def _run_setup_here(self, workspace: Workspace) -> None:
        """Without a sandbox a workspace has no fixed path, at which a virtual
        environment could be kept; so the commands run for every patch.
        """
        for setup in self.repository.setup:
            ended = self._run(setup, workspace, ())
            self.report(PreparedLayer(setup, "", ended))

    def _run(self, setup: Setup, workspace: Workspace, mounts: Sequence[Mount]) -> Ended:
        confined = Confined(setup, (*mounts, *self.caches_of(setup)))
        ended = run_command(self.sandbox, confined, workspace, self.tick)
        if ended.status != "passed":
            raise SetupFailed(setup, ended)
        return ended

    def _cache(self, path: str) -> Mount:
        # A digest, since the path has separators; the name is for people.
        digest = hashlib.sha256(path.encode()).hexdigest()[:12]
        source = self.stores.caches / f"{digest}-{Path(path).name}"
        source.mkdir(parents=True, exist_ok=True)
        give(self.sandbox.user, source)
        if path.startswith("~/"):
            inside = f"{INSIDE_HOME}/{path.removeprefix('~/')}"
        else:
            inside = f"{INSIDE}/{path}"
        return Mount(source, inside, writable=True)


def _generated(workspace: Workspace, setup: Setup) -> tuple[str, ...]:
    """Python sources that a setup command wrote into the tree beside what it
    provides, such as the version of a package. Only an overlay tells them apart.
    """
    if not workspace.lower:
        return ()
    paths = []
    for file in sorted(workspace.upper.rglob("*.py")):
        path = file.relative_to(workspace.upper)
        is_provided = any(path.is_relative_to(provided) for provided in setup.provides)
        if not is_provided and not _BUILD_DIRECTORIES.intersection(path.parts):
            paths.append(str(path))
    return tuple(paths[:_MAX_GENERATED])
