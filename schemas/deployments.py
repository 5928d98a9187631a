"""``deployments.yaml``: which model judges for a task, and which ones look on.

``streamgauge models deploy`` writes it; workers of ``evaluate`` read it again when it changes.
"""

from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.evaluators import DETERMINISTIC_EVALUATORS, Evaluator
from schemas.manifest import ManifestError

Mode = Literal["active", "shadow"]


class Deployment(BaseModel):
    """One model folder's role for one task. A shadow judges a share of calls and alerts nobody."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    folder: str
    task: Evaluator
    mode: Mode
    sample: float = Field(default=1.0, gt=0, le=1, description="share of calls a shadow judges")


class Deployments(BaseModel):
    """The whole file. A task without an active entry is judged by ``evaluate.model``."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    schema_: Literal["streamgauge.deployments/v1"] = Field(
        default="streamgauge.deployments/v1", alias="schema"
    )
    deployments: tuple[Deployment, ...] = ()

    def changed(self, new: Deployment) -> "Deployments":
        """With one more entry: it replaces its folder's, and as active the task's active one."""
        kept = tuple(
            one
            for one in self.deployments
            if one.task is not new.task
            or (one.folder != new.folder and not one.mode == new.mode == "active")
        )
        return Deployments(deployments=(*kept, new))

    def without(self, folder: str, task: Evaluator) -> "Deployments":
        """Without one folder's entry for a task."""
        kept = tuple(d for d in self.deployments if (d.folder, d.task) != (folder, task))
        return Deployments(deployments=kept)


def load_deployments(path: Path) -> Deployments:
    """Read the file; without one nothing is deployed but the configured model.

    Raises :class:`~schemas.manifest.ManifestError` naming file and field.
    """
    try:
        found = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        return Deployments()
    except (OSError, yaml.YAMLError) as error:
        raise ManifestError(f"{path}: {error}") from None
    try:
        read = Deployments.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ManifestError(f"{path}: {place}: {first['msg']}") from None
    active = [one.task for one in read.deployments if one.mode == "active"]
    for one in read.deployments:
        if one.task in DETERMINISTIC_EVALUATORS:
            raise ManifestError(f"{path}: {one.task}: is judged by rules, not by a model")
        if active.count(one.task) > 1:
            raise ManifestError(f"{path}: {one.task}: only one folder may be active")
    return read


def save_deployments(path: Path, deployments: Deployments) -> None:
    """Write the file whole or not at all. Raises ``OSError``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    dumped = deployments.model_dump(mode="json", by_alias=True)
    part.write_text(yaml.safe_dump(dumped, sort_keys=False))
    part.replace(path)
