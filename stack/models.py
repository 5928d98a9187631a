"""Taking a model folder in: draft, verify, run once, copy."""

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from processors.evaluate.models import load_model
from schemas.config import EvaluateConfig
from schemas.manifest import ManifestError, load_manifest

MANIFEST = "manifest.yaml"
_MAX_LENGTH = 256
_LABEL_TASKS = {
    "injection": ("injection", "jailbreak", "malicious", "unsafe_prompt"),
    "toxicity": ("toxic", "hate", "offensive", "insult"),
    "hallucination": ("contradiction", "not_entailment", "hallucinated", "unsupported"),
}


@dataclass(frozen=True, slots=True)
class Added:
    """A model folder that was taken in."""

    folder: Path
    tasks: tuple[str, ...]
    device: str


def add_model(config: EvaluateConfig, source: Path, name: str = "") -> Added:
    """Copy a verified model folder into ``models_dir``.

    Raises :class:`ManifestError` for whatever is wrong with it; for a folder without a manifest
    a draft is written first and the error says to complete it. ``OSError`` for the copying.
    """
    name = name or source.resolve().name
    target = config.models_dir / name
    if not (source / MANIFEST).is_file():
        draft_manifest(source)
        raise ManifestError(
            f"{source / MANIFEST}: drafted from config.json; complete licence, provenance and"
            " thresholds, check tasks, then add again"
        )
    if target.exists():
        raise ManifestError(f"{target} is there already: choose another --name")
    manifest = load_manifest(source)
    loaded = load_model(
        config.model_copy(update={"models_dir": source.parent, "model": source.name})
    )
    config.models_dir.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    for file in (MANIFEST, *manifest.files, *(f for f in ("card.md",) if (source / f).is_file())):
        (part / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / file, part / file)
    part.rename(target)
    return Added(target, tuple(manifest.tasks), loaded.device)


def draft_manifest(folder: Path) -> None:
    """Write a manifest for a Hugging Face sequence classifier (``config.json``, ``tokenizer.json``
    and an ONNX file), to be completed by whoever knows the model.

    Raises :class:`ManifestError` naming the file that is missing.
    """
    graphs = sorted(folder.glob("*.onnx")) or sorted(folder.glob("onnx/*.onnx"))
    config, tokenizer = folder / "config.json", folder / "tokenizer.json"
    missing = [str(p) for p in (config, tokenizer) if not p.is_file()]
    if not graphs:
        missing.append(str(folder / "*.onnx"))
    if missing:
        raise ManifestError(f"no manifest and no export to draft one from: {', '.join(missing)}")
    told = json.loads(config.read_text())
    graph = graphs[0].relative_to(folder).as_posix()
    drafted = {
        "schema": "streamgauge.model/v1",
        "name": folder.resolve().name,
        "version": "1",
        "licence": "unknown",
        "provenance": f"Hugging Face export, {told.get('_name_or_path') or 'origin unknown'}",
        "tokenizer": {
            "file": "tokenizer.json",
            "max_length": min(_MAX_LENGTH, int(told.get("max_position_embeddings", _MAX_LENGTH))),
            "stride": 64,
        },
        "graphs": {"classifier": {"file": graph}},
        "tasks": _drafted_tasks(told),
        "files": {
            file: hashlib.sha256((folder / file).read_bytes()).hexdigest()
            for file in (graph, "tokenizer.json")
        },
    }
    (folder / MANIFEST).write_text(yaml.safe_dump(drafted, sort_keys=False))


def _drafted_tasks(told: dict[str, Any]) -> dict[str, Any]:
    """One task, guessed from the labels' names; of an unknown naming, injection by the last."""
    labels = {int(i): str(name).lower() for i, name in (told.get("id2label") or {}).items()}
    found = next(
        (
            (task, [i for i, label in labels.items() if any(word in label for word in words)])
            for task, words in _LABEL_TASKS.items()
            if any(word in label for label in labels.values() for word in words)
        ),
        ("injection", [max(labels, default=0)]),
    )
    task, classes = found
    if task == "hallucination":
        classes = [i for i, label in labels.items() if label not in ("entailment", "supported")]
    many = told.get("problem_type") == "multi_label_classification" or len(labels) == 1
    entry: dict[str, Any] = {
        "graph": "classifier",
        "input": "pair" if task == "hallucination" else "text",
        "output": "logits",
        "activation": "sigmoid" if many else "softmax",
        "classes": classes,
        "thresholds": {"warn": 0.5, "page": 0.9},
    }
    if task == "hallucination":
        entry["first"] = "evidence"  # the premise comes first in entailment models
    return {task: entry}
