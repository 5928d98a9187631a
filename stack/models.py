"""Taking a model folder in (draft, verify, run once, copy), and giving it a role."""

import hashlib
import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from clickhouse_connect.driver.client import Client

from processors.evaluate.models import load_model
from schemas.config import Config, EvaluateConfig
from schemas.deployments import Deployment, Deployments, load_deployments, save_deployments
from schemas.evaluators import Evaluator
from schemas.manifest import ManifestError, load_manifest, model_folder
from sql.client import connect
from sql.tables import table
from sql.times import day_of_ns

MANIFEST = "manifest.yaml"
_MAX_LENGTH = 256
_STRIDE = 64
_ROBERTAS = ("roberta", "camembert", "mpnet", "longformer")
"""Part of the names of architectures that count positions from the padding's id on."""
_DEPLOYMENTS = "genai_model_deployments"
_OPEN_NS = 7_258_118_400_000_000_000
"""2200-01-01: a period that has not ended."""
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
    if (there := model_folder(config.models_dir, name)).exists():
        raise ManifestError(f"{there} is there already: choose another --name")
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
    length = min(_MAX_LENGTH, _positions(told))
    graph = graphs[0].relative_to(folder).as_posix()
    drafted = {
        "schema": "streamgauge.model/v1",
        "name": folder.resolve().name,
        "version": "1",
        "licence": "unknown",
        "provenance": f"Hugging Face export, {told.get('_name_or_path') or 'origin unknown'}",
        "tokenizer": {
            "file": "tokenizer.json",
            "max_length": length,
            "stride": min(_STRIDE, length // 4),
        },
        "graphs": {"classifier": {"file": graph}},
        "tasks": _drafted_tasks(told),
        "files": {
            file: hashlib.sha256((folder / file).read_bytes()).hexdigest()
            for file in (graph, "tokenizer.json")
        },
    }
    (folder / MANIFEST).write_text(yaml.safe_dump(drafted, sort_keys=False))


def _positions(told: dict[str, Any]) -> int:
    """Tokens that the model has positions for."""
    positions = int(told.get("max_position_embeddings", _MAX_LENGTH))
    if any(name in str(told.get("model_type", "")) for name in _ROBERTAS):
        positions -= int(told.get("pad_token_id") or 0) + 1
    return positions


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


def deploy_model(config: Config, folder: str, task: Evaluator, mode: str, sample: float) -> str:
    """Change a folder's role for a task: ``active``, ``shadow`` or ``off``; its model version.

    Periods of roles are written to ``genai_model_deployments`` first, then the file that workers
    read. Raises :class:`ManifestError`, clickhouse-connect's errors, ``OSError``.
    """
    settings = config.evaluate
    manifest = load_manifest(model_folder(settings.models_dir, folder))
    if task not in manifest.tasks:
        there = ", ".join(manifest.tasks)
        raise ManifestError(f"{folder} has no task {task}: there are {there}")
    before = load_deployments(settings.deployments_file)
    if mode == "off":
        after = before.without(folder, task)
    else:
        entry = Deployment.model_validate(
            {"folder": folder, "task": task, "mode": mode, "sample": sample}
        )
        after = before.changed(entry)
    client = connect(config.clickhouse)
    try:
        record_roles(
            client,
            config,
            roles_of(settings, before, task),
            roles_of(settings, after, task),
            task,
            time.time_ns(),
        )
    finally:
        client.close()
    save_deployments(settings.deployments_file, after)
    return manifest.model_version(task)


def roles_of(settings: EvaluateConfig, told: Deployments, task: Evaluator) -> dict[str, str]:
    """Mode by model version of one task. Raises :class:`ManifestError`."""
    entries = {one.folder: one.mode for one in told.deployments if one.task is task}
    if "active" not in entries.values():
        entries.setdefault(settings.model, "active")
    return {
        load_manifest(model_folder(settings.models_dir, folder)).model_version(task): mode
        for folder, mode in entries.items()
    }


def record_roles(
    client: Client,
    config: Config,
    before: Mapping[str, str],
    after: Mapping[str, str],
    task: Evaluator,
    now_ns: int,
) -> None:
    """Close the periods of roles that ended and open those that began, for every tenant seen."""
    seen = client.query("SELECT DISTINCT tenant FROM genai_operations").result_rows
    tenants = sorted({config.tenant, *(str(tenant) for (tenant,) in seen)})
    opened = {
        (str(tenant), str(version)): int(from_ns)
        for tenant, version, from_ns in client.query(
            "SELECT tenant, model_version, toUnixTimestamp64Nano(max(from_time))"
            " FROM genai_model_deployments FINAL WHERE evaluator = {task:String}"
            " AND to_time > now64(9) GROUP BY tenant, model_version",
            parameters={"task": task.value},
        ).result_rows
    }
    rows = []
    for tenant in tenants:
        for version, mode in before.items():
            if after.get(version) != mode:
                begun_ns = opened.get((tenant, version), 0)
                rows.append(_period(tenant, task, version, mode, (begun_ns, now_ns), now_ns))
        for version, mode in after.items():
            if before.get(version) != mode:
                rows.append(_period(tenant, task, version, mode, (now_ns, _OPEN_NS), now_ns))
    _store_periods(client, rows)


def record_past_shadow(
    client: Client, task: Evaluator, version: str, tenant: str, period_ns: tuple[int, int]
) -> None:
    """Say that a version looked on in a period that is over, of one tenant or (empty) of all seen.

    Tenants for whom it had a role are left as they are. Raises clickhouse-connect's errors.
    """
    found = client.query(
        "SELECT DISTINCT tenant FROM genai_operations"
        " WHERE ({tenant:String} = '' OR tenant = {tenant:String}) AND tenant NOT IN"
        " (SELECT tenant FROM genai_model_deployments FINAL"
        " WHERE evaluator = {task:String} AND model_version = {version:String})",
        parameters={"tenant": tenant, "task": task.value, "version": version},
    ).result_rows
    now_ns = time.time_ns()
    rows = [_period(str(name), task, version, "shadow", period_ns, now_ns) for (name,) in found]
    _store_periods(client, rows)


def _period(
    tenant: str,
    task: Evaluator,
    version: str,
    mode: str,
    period_ns: tuple[int, int],
    now_ns: int,
) -> tuple[object, ...]:
    """One row of ``genai_model_deployments``."""
    from_ns, to_ns = period_ns
    return table(_DEPLOYMENTS).row(
        {
            "tenant": tenant,
            "evaluator": task.value,
            "model_version": version,
            "from_time": from_ns,
            "day": day_of_ns(from_ns),
            "revision": now_ns // 1_000_000,
            "mode": mode,
            "to_time": to_ns,
        }
    )


def _store_periods(client: Client, rows: list[tuple[object, ...]]) -> None:
    if rows:
        client.insert(_DEPLOYMENTS, rows, column_names=list(table(_DEPLOYMENTS).columns))
