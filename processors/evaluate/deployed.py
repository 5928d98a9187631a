"""The models at work: the active one of each task and its shadows, reloaded when they change.

An engine belongs to a model folder and is shared by its tasks. A change that cannot be loaded is
logged and leaves the models as they are: only at the start does a bad one stop the worker. An
engine is closed once it is neither deployed nor in any state of the deployments that an operation
still uses.
"""

import asyncio
import logging
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from processors.evaluate.checks import language
from processors.evaluate.checks.registry import CHECKS
from processors.evaluate.checks.run import Checks
from processors.evaluate.engine import Engine
from processors.evaluate.judge import Judge
from processors.evaluate.models import load_model
from schemas.config import EvaluateConfig
from schemas.deployments import Deployment, Mode, load_deployments
from schemas.evaluators import FINDING_EVALUATORS, MODEL_EVALUATORS, Evaluator
from schemas.identity import text_hash
from schemas.intervals import Intervals, load_intervals
from schemas.manifest import ManifestError, model_folder

LOG = logging.getLogger(__name__)

LOOK_EVERY_S = 5.0
_RULES_MODEL = "redactor"
_CHECKS_MODEL = "checks"
_RULES_VERSION = "redactor-rules-2"
"""Model version of pii and secrets: raise it when their rules or labels change."""


@dataclass(frozen=True, slots=True)
class Versions:
    """What an evaluator's rows say about who judged."""

    model: str
    model_version: str
    threshold_version: str
    cascade_stage: str


@dataclass(frozen=True, slots=True)
class Deployed:
    """Evaluators that one model folder runs in one role, for a share of operations."""

    judge: Judge
    mode: Mode
    versions: dict[Evaluator, Versions]
    sample: float = 1.0

    def takes(self, trace_id: str, span_id: str) -> bool:
        """Whether it judges that operation: the same on every worker and every redelivery."""
        if self.sample >= 1:
            return True
        return int(text_hash("sample", trace_id, span_id)[:8], 16) / 2**32 < self.sample


@dataclass(slots=True)
class _Generation:
    """One state of the deployments, and how many operations are using it."""

    deployed: list[Deployed]
    engines: dict[str, Engine]
    users: int = 0
    replaced: bool = field(default=False)


def _rules(intervals: Intervals) -> dict[Evaluator, Versions]:
    by = dict.fromkeys(FINDING_EVALUATORS, (_RULES_MODEL, _RULES_VERSION))
    by |= {evaluator: (_CHECKS_MODEL, check.version) for evaluator, check in CHECKS.items()}
    return {
        evaluator: Versions(model, version, intervals.of(evaluator).version, "rules")
        for evaluator, (model, version) in by.items()
    }


class DeployedModels:
    """The models of one worker; ``progressed`` is called whenever one of them got on."""

    def __init__(
        self, config: EvaluateConfig, progressed: Callable[[], None] = lambda: None
    ) -> None:
        self._config = config
        self._progressed = progressed
        self._checks = Checks(load_intervals(config.intervals_file), config.canaries)
        self._seen: tuple[int, int] | None = None
        self._current = _Generation([], {})
        self._holders: Counter[Engine] = Counter()
        """In how many generations that are current or used each engine is."""
        self._watcher: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Load all models. ManifestError, DeviceError: the worker must not run."""
        await asyncio.to_thread(language.load)
        self._seen = self._stamp()
        self._replace(await self._load({}))
        self._watcher = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Stop all engines; what they are still scoring fails."""
        if self._watcher is not None:
            self._watcher.cancel()
        engines = list(self._holders)
        self._holders.clear()
        for engine in engines:
            await engine.close()

    @asynccontextmanager
    async def use(self) -> AsyncIterator[list[Deployed]]:
        """The models as they are now, active ones first; they stay open while used.

        Raises ``RuntimeError`` if the stage was not started.
        """
        generation = self._current
        if not generation.deployed:
            raise RuntimeError("the stage was not started")
        generation.users += 1
        try:
            yield generation.deployed
        finally:
            generation.users -= 1
            await self._close_unused(generation)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if (stamp := self._stamp()) == self._seen:
                continue
            self._seen = stamp
            try:
                before = self._replace(await self._load(self._current.engines))
                await self._close_unused(before)
            except ManifestError as error:
                LOG.error("deployments unchanged: %s", error)
            # Whatever it is (no memory left on the device, a fault of ours): the models that there
            # are go on, and the next change must still be taken up.
            except Exception:
                LOG.exception("this change of the deployments was not taken up")

    def _replace(self, loaded: _Generation) -> _Generation:
        """Make it the current generation; the one before."""
        before, self._current = self._current, loaded
        self._holders.update(loaded.engines.values())
        before.replaced = True
        return before

    def _stamp(self) -> tuple[int, int] | None:
        """Changes whenever the file does."""
        try:
            found = os.stat(self._config.deployments_file)
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino

    async def _load(self, engines: dict[str, Engine]) -> _Generation:
        """What the file says, with the engines that are running already."""
        told = load_deployments(self._config.deployments_file).deployments
        given = {one.task for one in told if one.mode == "active"}
        defaults = (
            Deployment(folder=self._config.model, task=task, mode="active")
            for task in MODEL_EVALUATORS
            if task not in given
        )
        wanted = sorted((*defaults, *told), key=lambda one: one.mode)
        loaded = {one.folder: engines[one.folder] for one in wanted if one.folder in engines}
        fresh: dict[str, Engine] = {}
        for folder in dict.fromkeys(one.folder for one in wanted):
            if folder not in loaded:
                settings = self._config.model_copy(update={"model": folder})
                model = await asyncio.to_thread(load_model, settings)
                loaded[folder] = fresh[folder] = Engine(model, settings, self._progressed)
        deployed = [self._deployed(group, loaded) for group in _grouped(wanted)]
        for engine in fresh.values():
            engine.start()
        deployed[0].versions.update(_rules(self._checks.intervals))
        return _Generation(deployed, loaded)

    def _deployed(self, group: list[Deployment], engines: dict[str, Engine]) -> Deployed:
        first = group[0]
        engine = engines[first.folder]
        manifest = engine.model.manifest
        if missing := {one.task for one in group} - manifest.tasks.keys():
            path = model_folder(self._config.models_dir, first.folder) / "manifest.yaml"
            raise ManifestError(f"{path}: tasks: none for {', '.join(sorted(missing))}")
        versions = {
            one.task: Versions(
                manifest.name,
                manifest.model_version(one.task),
                manifest.threshold_version(one.task),
                "model",
            )
            for one in group
        }
        return Deployed(Judge(engine, self._checks), first.mode, versions, first.sample)

    async def _close_unused(self, generation: _Generation) -> None:
        """Of a generation that has ended, close the engines that no other one holds."""
        if not generation.replaced or generation.users:
            return
        engines = list(generation.engines.values())
        generation.engines = {}  # ends once, whoever is last
        self._holders.subtract(engines)
        for engine in [engine for engine in engines if self._holders[engine] <= 0]:
            del self._holders[engine]
            await engine.close()


def _grouped(wanted: Iterable[Deployment]) -> list[list[Deployment]]:
    """Entries of one folder, mode and share together: their texts go to the engine at once."""
    groups: dict[tuple[str, str, float], list[Deployment]] = {}
    for one in wanted:
        groups.setdefault((one.mode, one.folder, one.sample), []).append(one)
    return list(groups.values())
