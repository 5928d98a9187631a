"""Evaluates a finished folder and writes its card.md, with plots.

``python -m training.card --data DIR`` does it again for the shipped folder: what only the training
run knew is in its ``training.json``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.models import measure
from training import curve, evaluate, sanity
from training.aims import AIMS, aims, shown
from training.evaluate import ANSWER_WORDS, LONGER
from training.options import options
from training.package import TASKS
from training.scoring import Scores, open_model

RECORD = "training.json"
SMALL_SHARE = 0.01
Example = tuple[str, str, str, float, bool]


def examples(scores: Scores) -> list[Example]:
    """(task, text, expected side, score, passed) for every plain example."""
    cases: list[tuple[str, str, str, float]] = []
    for task, rows in (("injection", sanity.INJECTION), ("toxicity", sanity.TOXICITY)):
        found = scores.texts(f"examples {task}", [t for t, _ in rows])[task]
        cases += [(task, t, side, float(s)) for (t, side), s in zip(rows, found, strict=True)]
    pairs = [(c, e) for c, e, _ in sanity.HALLUCINATION]
    found = scores.pairs("examples hallucination", pairs)
    cases += [
        ("hallucination", f"{c} | {e}", side, float(s))
        for (c, e, side), s in zip(sanity.HALLUCINATION, found, strict=True)
    ]
    checked = []
    for task, text, side, score in cases:
        limits = scores.model.manifest.tasks[task].thresholds
        bar = limits.page if side == "page" else limits.warn
        checked.append((task, text, side, score, score < bar if side == "benign" else score >= bar))
    return checked


def table(sets: Mapping[str, Any], alone: Mapping[str, Sequence[float]]) -> list[str]:
    """One line a set: AUROC, also of the model ``alone`` without the first pass, and at warn and
    page the rates, with 95% intervals."""
    lines = [
        "| set | rows (bad) | AUROC | without the first pass | recall at warn |"
        " false positives at warn | recall at page | false positives at page |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, m in sets.items():
        rates = [
            shown(m[level].get(k), percent=True)
            for level in ("warn", "page")
            for k in ("recall", "false_positive_rate")
        ]
        lines.append(
            f"| {name} | {m['rows']} ({m['positives']}) | {shown(m.get('auroc'))}"
            f" | {f'{alone[name][0]:.3f}' if name in alone else '-'} | " + " | ".join(rates) + " |"
        )
    return lines


def groups(sets: Mapping[str, Any]) -> list[str]:
    """One line a group: AUROC, recall and false positives at warn, with 95% intervals."""
    lines = [
        "| set | group | rows | AUROC | recall at warn | false positives at warn |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, m in sets.items():
        for group, g in m.get("groups", {}).items():
            area = shown(g.get("auroc"))
            rates = [
                shown(g["warn"].get(k), percent=True) for k in ("recall", "false_positive_rate")
            ]
            lines.append(f"| {name} | {group} | {g['rows']} | {area} | {' | '.join(rates)} |")
    return lines


def learning(logs: Mapping[str, Sequence[tuple[int, float]]]) -> str:
    """Training loss along each run: where it still falls, a longer run would lift the figures."""
    lines = ["Training loss by step:", "", "| model | loss |", "| --- | --- |"]
    for name, log in logs.items():
        every = max(1, len(log) // 8)
        points = [*log[every - 1 :: every]]
        lines.append(f"| {name} | " + ", ".join(f"{s}: {loss:.3f}" for s, loss in points) + " |")
    return "\n".join(lines)


def curves(curve: Mapping[str, Any]) -> list[str]:
    """AUROC by the share of the rows, and how many more rows an aim would take at that slope; and
    of a safety model with half of the layers.

    The slope is the gain a doubling of the rows, by least squares over all points: over so short a
    range AUROC is close to linear in the logarithm of the rows.
    """
    if not curve:
        return ["Not measured for this folder: `python -m training.curve` does it."]
    points = curve["rows"]
    shares = sorted(points, key=float)
    ((layers, deeper),) = curve["layers"].items()
    wanted_by = {(aim.task, aim.name): aim.value for aim in AIMS if aim.what == "auroc"}
    doublings = np.log2([float(share) for share in shares])
    lines = [
        f"| task | set | {' | '.join(f'{float(s):.3g} of the rows' for s in shares)} |"
        f" gain a doubling | rows to the aim | {layers} layers |",
        "| --- | --- |" + " --- |" * (len(shares) + 3),
    ]
    for task, sets in points[shares[-1]].items():
        for name in sets:
            areas = [points[share][task][name][0] for share in shares]
            slope = float(np.polyfit(doublings, areas, 1)[0])
            wanted = _rows_wanted(wanted_by.get((task, name)), areas[-1], slope)
            cells = " | ".join(f"{area:.3f}" for area in areas)
            deep = f"{deeper[task][name][0]:.3f}" if task in deeper else "-"
            lines.append(f"| {task} | {name} | {cells} | {slope:+.3f} | {wanted} | {deep} |")
    return lines


def _rows_wanted(aim: float | None, reached: float, slope: float) -> str:
    if aim is None:
        return "-"
    if reached >= aim:
        return "met"
    if slope <= 0:
        return "more of these rows do not help"
    times = 2 ** ((aim - reached) / slope)
    return f"{times:.2g} times" if times < 100 else "over 100 times"


def lengths(sets: Mapping[str, Any]) -> list[str]:
    """AUROC by the answer's length alone, and of the model within answers of like length."""
    names = [f"answer: up to {top} words" for top in ANSWER_WORDS] + [f"answer: {LONGER}"]
    lines = [
        f"| set | length alone | the model | {' | '.join(n.split(': ')[1] for n in names)} |",
        "| --- | --- | --- |" + " --- |" * len(names),
    ]
    for name, m in sets.items():
        within = [m["groups"].get(group, {}).get("auroc") for group in names]
        cells = [f"{found[0]:.3f}" if found else "-" for found in (m.get("auroc"), *within)]
        lines.append(f"| {name} | {m['length_alone']:.3f} | {' | '.join(cells)} |")
    return lines


def _pools(results: Mapping[str, Any]) -> list[str]:
    lines = [
        "| task | harmless rows | warn at | flagged (limit) | page at | flagged (limit) |"
        " warn set by | asked for and not given |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for task, told in results["pools"].items():
        cells = [
            f"{results['thresholds'][task][level]:.4f} | {told[level]['hits']}"
            f" ({told[level]['upper']:.2%})"
            for level in ("warn", "page")
        ]
        refused = ", ".join(f"{limit} by {name}" for name, limit in told["refused"].items())
        lines.append(
            f"| {task} | {told['pool']} | {' | '.join(cells)} | {told['decided']} |"
            f" {refused or '-'} |"
        )
    for task, told in results["pools"].items():
        few = sum(n for n in told["sources"].values() if n < told["pool"] * SMALL_SHARE)
        rows = [f"{s} {n}" for s, n in told["sources"].items() if n >= told["pool"] * SMALL_SHARE]
        lines += ["", f"Harmless rows of {task} by source: {', '.join(rows)}, others {few}."]
    return lines


def plots(folder: Path, results: Mapping[str, Any]) -> None:
    """Reliability on dev, one small picture for all tasks."""
    import matplotlib  # noqa: PLC0415 - only for the pictures

    matplotlib.use("Agg")
    from matplotlib import pyplot  # noqa: PLC0415

    figure, axes = pyplot.subplots(1, len(results["pools"]), figsize=(9, 3), dpi=70)
    for axis, (task, told) in zip(axes, results["pools"].items(), strict=True):
        axis.plot([0, 1], [0, 1], color="0.7", linewidth=1)
        axis.plot(
            [m for m, _, _ in told["reliability"]], [s for _, s, _ in told["reliability"]], "o-"
        )
        axis.set_title(f"{task}, dev", fontsize=9)
        axis.set_xlabel("mean score", fontsize=8)
    axes[0].set_ylabel("share that is bad", fontsize=8)
    figure.tight_layout()
    figure.savefig(folder / "reliability.png", metadata={"Software": ""})
    pyplot.close(figure)


def _sections(results: Mapping[str, Any], lines: Callable[[str, Any], list[str]]) -> str:
    parts = (["", f"### {task}", "", *lines(task, m)] for task, m in results["tests"].items())
    return "\n".join(line for part in parts for line in part)


def _cascade(results: Mapping[str, Any]) -> str:
    return "\n".join(
        f"- {task}: {told['flagged_bad']} bad dev texts are flagged by the model; of"
        f" {told['kept_bad']:.2%} it sees a window that flags them (of {told['kept']:.2%} of all"
        f" {told['flagged']} that it flags, mistakes among them). The first pass clears"
        f" {told['cleared_harmless']:.0%} of the harmless ones (limit {told['limit']:.4f})."
        for task, told in results["cascade"].items()
    )


def _render(folder: Path, results: Mapping[str, Any], found: Sequence[Example]) -> str:
    size = sum(p.stat().st_size for p in folder.iterdir() if p.suffix in (".onnx", ".json")) / 1e6
    speed = results["speed"]
    text = (Path(__file__).parent / "card_template.md").read_text(encoding="utf-8")
    for mark, value in {
        "AIMS": "\n".join(aims(results)),
        "TABLES": _sections(
            results, lambda task, sets: table(sets, results["alone"].get(task, {}))
        ),
        "GROUPS": _sections(results, lambda _, sets: groups(sets)),
        "POOLS": "\n".join(_pools(results)),
        "CASCADE": _cascade(results),
        "FROM_TOKENS": str(results["from_tokens"]),
        "LABELS": ", ".join(
            f"{label} {shown(told['auroc'])} on {told['rows']} rows, {told['positives']} of them so"
            for label, told in results["labels"].items()
        ),
        "PLACEHOLDERS": "; ".join(
            f"{task}: AUROC {told['auroc'][0]:.3f} without, {told['auroc'][1]:.3f} with, and"
            f" {told['changed']} of {told['rows']} verdicts change"
            for task, told in results["placeholders"].items()
        ),
        "EXAMPLES": "\n".join(
            f"| {task} | {shown_text.replace('|', '/')} | {side} | {score:.4f} |"
            f" {'ok' if passed else '**fails**'} |"
            for task, shown_text, side, score, passed in found
        ),
        "FAILED": f"{sum(not passed for *_, passed in found)} of {len(found)}",
        "SPEED": f"{speed['alone']:.0f} texts/s alone, {speed['cascade']:.0f} texts/s through the"
        f" cascade ({speed['cleared']:.0%} cleared)",
        "SIZE": f"{size:.1f} MB",
        "TRAINED": results["trained"],
        "LEARNING": learning(results["learning"]),
        "CURVES": "\n".join(curves(results["curve"])),
        "LENGTHS": "\n".join(lengths(results["tests"]["hallucination"])),
    }.items():
        text = text.replace("{{" + mark + "}}", value)
    return text


def write(folder: Path, record: Mapping[str, Any], args: argparse.Namespace) -> Mapping[str, Any]:
    """Evaluate the finished files in ``folder``; card.md and training.json (what the run knew,
    ``record``) beside them. Returns the figures by task and set."""
    scores = Scores(folder, args.cache / "scores", args.threads, args.device)
    tests = {task: evaluate.run(scores, args.data, task) for task in TASKS}
    cascade = scores.model.manifest.cascade
    results = {
        **record,
        "tests": tests,
        "from_tokens": cascade.from_tokens if cascade else 1,
        "speed": measure(open_model(folder, args.threads)),
        "labels": evaluate.labels(scores, args.data),
        "placeholders": evaluate.placeholders(scores, args.data),
    }
    found = examples(scores)
    (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n")
    plots(folder, results)
    (folder / "card.md").write_text(_render(folder, results, found), encoding="utf-8")
    for task, text, side, score, passed in found:
        if not passed:
            print(f"fails: {task} expected {side}, score {score:.4f}: {text[:90]}")
    return tests


def main() -> None:
    args = options(argparse.ArgumentParser(prog="python -m training.card", description=__doc__))
    record = json.loads((args.out / RECORD).read_text())
    write(args.out, record | {"curve": curve.found(args.cache) or record["curve"]}, args)


if __name__ == "__main__":
    main()
