"""``models/<name>/manifest.yaml``: one folder of ONNX graphs serving one or more evaluators."""

import hashlib
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.config import PACKAGE_ROOT
from schemas.privacy import Entity

SHIPPED_MODELS = PACKAGE_ROOT / "models"


class ManifestError(ValueError):
    """A model folder cannot be used; the text names the file and the fix."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Tokenizer(_Strict):
    """Rust ``tokenizers`` file; lengths in tokens. Long texts become overlapping windows."""

    file: str
    max_length: int = Field(ge=8)
    stride: int = Field(ge=0, description="tokens that neighbouring windows share")


class Graph(_Strict):
    """One ONNX file. ``embedding`` names a pooled-output vector if it has one."""

    file: str
    inputs: tuple[str, ...] = ()
    embedding: str = ""


class Thresholds(_Strict):
    """Scores at or above which a verdict is ``warn`` or ``page``."""

    warn: float = Field(ge=0, le=1)
    page: float = Field(ge=0, le=1)


class Task(_Strict):
    """How one evaluator reads its score from one output of a graph.

    ``text``: the graph sees one text. ``pair``: it sees claim and evidence in one sequence.
    ``two_texts``: a head sees their embeddings and named features. The score is in [0, 1], higher
    is worse; of a support task it is P(the evidence does not support the claim).
    """

    graph: str
    input: Literal["text", "pair", "two_texts"]
    output: str
    activation: Literal["none", "sigmoid", "softmax"] = Field(
        default="none", description="what turns the output's logits into probabilities"
    )
    classes: tuple[int, ...] = Field(
        default=(), description="columns of the output whose sum is the score; empty: the only one"
    )
    first: Literal["claim", "evidence"] = Field(
        default="claim", description="which of a pair comes first in the sequence"
    )
    features: str = Field(default="", description="named features the graph takes, lexical_v2")
    aggregation: Literal["max", "mean"] = Field(
        default="max", description="of the scores of a long text's windows"
    )
    thresholds: Thresholds


class Cascade(_Strict):
    """A cheap graph that looks at every text window first and clears the plainly harmless ones.

    Its outputs have the names of tasks. A window of at least ``from_tokens`` tokens whose every
    score is below ``clear_below`` is not seen by the graphs of those tasks; all others are.
    """

    graph: str
    from_tokens: int = Field(default=1, ge=1, description="shorter windows: the model, at once")
    clear_below: dict[str, float] = Field(min_length=1, description="score by task")


class Names(_Strict):
    """How a graph that classes tokens finds names and addresses for the redactor."""

    graph: str
    output: str = Field(description="logits [texts, tokens, labels]")
    labels: tuple[str, ...] = Field(
        min_length=2, description="of the output's columns: O, B-PER, I-PER, ..."
    )
    entities: dict[str, Literal["PERSON", "ADDRESS"]] = Field(
        min_length=1, description="label without B- or I- to entity; others are not looked for"
    )
    min_probability: float = Field(default=0.5, ge=0, le=1)

    def entity_of(self, label: str) -> Entity | None:
        """What a token of this label belongs to."""
        name = self.entities.get(label.removeprefix("B-").removeprefix("I-"))
        return None if name is None else Entity(name)


class Manifest(_Strict):
    """The whole file. Hashes are SHA-256 hex of every file it names."""

    schema_: Literal["streamgauge.model/v1"] = Field(alias="schema")
    name: str
    version: str
    licence: str
    provenance: str
    tokenizer: Tokenizer
    graphs: dict[str, Graph]
    tasks: dict[str, Task]
    cascade: Cascade | None = None
    names: Names | None = None
    measured: dict[str, object] = Field(default_factory=dict)
    files: dict[str, str]

    def model_version(self, task: str) -> str:
        """Hash over what decides this task's scores: graphs, tokenizer, the task's entry."""
        entry = self.tasks[task]
        digest = hashlib.sha256()
        for name in sorted(self.files):
            digest.update(f"{name}={self.files[name]}\n".encode())
        digest.update(self.tokenizer.model_dump_json().encode())
        digest.update(entry.model_dump_json(exclude={"thresholds"}).encode())
        if self.cascade is not None:
            digest.update(self.cascade.model_dump_json().encode())
        return f"{self.name}-{self.version}-{digest.hexdigest()[:8]}"

    def encoder_version(self, graph: str) -> str:
        """Hash over what decides a graph's embedding: its files, the tokenizer, the output."""
        entry = self.graphs[graph]
        others = {other.file for name, other in self.graphs.items() if name != graph}
        digest = hashlib.sha256()
        for name in sorted(self.files.keys() - others):
            digest.update(f"{name}={self.files[name]}\n".encode())
        digest.update(self.tokenizer.model_dump_json().encode())
        digest.update(entry.model_dump_json().encode())
        return f"{self.name}-{self.version}-{digest.hexdigest()[:8]}"

    def threshold_version(self, task: str) -> str:
        """Short name of the thresholds in force."""
        limits = self.tasks[task].thresholds
        return f"warn={limits.warn:g},page={limits.page:g}"


def model_folder(models_dir: Path, name: str) -> Path:
    """The folder of that name in ``models_dir``; where it has none, the shipped one if there is.

    So ``models_dir`` may be a volume of one's own models, which an upgrade leaves alone.
    """
    own, shipped = models_dir / name, SHIPPED_MODELS / name
    return shipped if not own.exists() and shipped.is_dir() else own


def load_manifest(folder: Path) -> Manifest:
    """Read and verify a model folder.

    Raises :class:`ManifestError` naming the missing file, the wrong key, or the file whose hash
    differs with the expected and the found hash.
    """
    path = folder / "manifest.yaml"
    if not path.is_file():
        raise ManifestError(f"no model: {path} is missing (evaluate.models_dir, evaluate.model)")
    try:
        manifest = Manifest.model_validate(yaml.safe_load(path.read_text()))
    except (ValidationError, yaml.YAMLError) as error:
        raise ManifestError(f"{path}: {error}") from None
    for name, expected in manifest.files.items():
        file = folder / name
        if not file.is_file():
            raise ManifestError(f"{file} is missing; expected sha256 {expected}")
        found = hashlib.sha256(file.read_bytes()).hexdigest()
        if found != expected:
            raise ManifestError(f"{file}: expected sha256 {expected}, found {found}")
    used = {manifest.tokenizer.file, *(graph.file for graph in manifest.graphs.values())}
    if missing := used - manifest.files.keys():
        raise ManifestError(f"{path}: files: no hash for {', '.join(sorted(missing))}")
    for name, task in manifest.tasks.items():
        if task.graph not in manifest.graphs:
            raise ManifestError(f"{path}: tasks.{name}.graph: no graph named {task.graph!r}")
    if manifest.names is not None and manifest.names.graph not in manifest.graphs:
        raise ManifestError(f"{path}: names.graph: no graph named {manifest.names.graph!r}")
    _check_cascade(path, manifest)
    return manifest


def _check_cascade(path: Path, manifest: Manifest) -> None:
    cascade = manifest.cascade
    if cascade is None:
        return
    if cascade.graph not in manifest.graphs:
        raise ManifestError(f"{path}: cascade.graph: no graph named {cascade.graph!r}")
    judged = {name for name, task in manifest.tasks.items() if task.input == "text"}
    if judged != cascade.clear_below.keys():
        expected = ", ".join(sorted(judged))
        raise ManifestError(f"{path}: cascade.clear_below: exactly these tasks needed: {expected}")
    for name, limit in cascade.clear_below.items():
        if limit > manifest.tasks[name].thresholds.warn:
            raise ManifestError(f"{path}: cascade.clear_below.{name}: must not exceed warn")
    if any(task.input == "two_texts" for task in manifest.tasks.values()):
        raise ManifestError(f"{path}: cascade: a two_texts task needs every text's embedding")
