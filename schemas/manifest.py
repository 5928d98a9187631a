"""``models/<name>/manifest.yaml``: one folder of ONNX graphs serving one or more evaluators."""

import hashlib
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError


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
    """How one evaluator reads its score. ``text``: the graph sees one text; ``pair``: claim and
    evidence in one sequence; ``two_texts``: their embeddings and named features go to a head.
    """

    graph: str
    input: Literal["text", "pair", "two_texts"]
    output: str
    features: str = ""
    aggregation: Literal["max", "mean"] = "max"
    thresholds: Thresholds


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
        return f"{self.name}-{self.version}-{digest.hexdigest()[:8]}"

    def threshold_version(self, task: str) -> str:
        """Short name of the thresholds in force."""
        limits = self.tasks[task].thresholds
        return f"warn={limits.warn:g},page={limits.page:g}"


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
    return manifest
