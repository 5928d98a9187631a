"""Writes card.md from the results, and its plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training import sanity
from training.evaluate import ANSWER_WORDS, LONGER
from training.scoring import Scores

Example = tuple[str, str, str, float, bool]

# (task, set, what, aim); what is AUROC (at least), FPR at warn (at most) or recall at warn.
AIMS: tuple[tuple[str, str, str, float], ...] = (
    ("injection", "bipia_test", "auroc", 0.93),
    ("injection", "injecagent", "auroc", 0.93),
    ("injection", "deepset_test + piguard_valid", "auroc", 0.965),
    ("injection", "notinject_fpr", "false_positive_rate", 0.05),
    ("injection", "wildguard_benign_fpr", "false_positive_rate", 0.02),
    ("injection", "xstest_fpr", "false_positive_rate", 0.01),
    ("injection", "deepset_test + piguard_valid", "recall", 0.80),
    ("toxicity", "openai_moderation", "auroc", 0.92),
    ("toxicity", "hatecheck", "auroc", 0.80),
    ("toxicity", "convabuse_test", "auroc", 0.96),
    ("toxicity", "xstest_safe_fpr", "false_positive_rate", 0.02),
    ("hallucination", "begin_wow", "auroc", 0.92),
    ("hallucination", "halueval_qa_test", "auroc", 0.97),
    ("hallucination", "fm2_test", "auroc", 0.78),
    ("hallucination", "summedits_core", "auroc", 0.70),
    ("hallucination", "qags", "auroc", 0.78),
    ("hallucination", "rte_eval", "auroc", 0.80),
    ("hallucination", "anli_test_nc", "auroc", 0.60),
)
_SPEED_AIMS = {"alone": 120, "cascade": 600}


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


def _span(value: Sequence[float] | None, percent: bool = False) -> str:
    if value is None:
        return "-"
    if percent:
        return f"{value[0]:.1%} ({value[1]:.1%} to {value[2]:.1%})"
    return f"{value[0]:.3f} ({value[1]:.3f} to {value[2]:.3f})"


def aims(results: Mapping[str, Any]) -> list[str]:
    """The aims, what was reached, and whether it is enough."""
    lines = [
        "| task | set | figure | aim | reached | met |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for task, name, what, aim in AIMS:
        found = results["tests"][task].get(name)
        if found is None:
            continue
        value = found.get("auroc") if what == "auroc" else found["warn"].get(what)
        at_most = what == "false_positive_rate"
        met = value is not None and (value[0] <= aim if at_most else value[0] >= aim)
        label = {"auroc": "AUROC", "false_positive_rate": "false positives at warn"}.get(
            what, "recall at warn"
        )
        sign = "at most" if at_most else "at least"
        shown = f"{aim:.0%}" if what != "auroc" else f"{aim:g}"
        lines.append(
            f"| {task} | {name} | {label} | {sign} {shown} | {_span(value, what != 'auroc')} |"
            f" {'yes' if met else '**no**'} |"
        )
    for kind, aim in _SPEED_AIMS.items():
        value = results["speed"][kind]
        met = "yes" if value >= aim else "**no**"
        lines.append(
            f"| text tasks | speed, {kind} | texts/s | at least {aim} | {value:.0f} | {met} |"
        )
    return lines


def table(sets: Mapping[str, Any]) -> list[str]:
    """One line a set: AUROC, and at warn and page the rates, with 95% intervals."""
    lines = [
        "| set | rows (bad) | AUROC | recall at warn | false positives at warn | recall at page |"
        " false positives at page |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, m in sets.items():
        rates = [
            _span(m[level].get(k), percent=True)
            for level in ("warn", "page")
            for k in ("recall", "false_positive_rate")
        ]
        lines.append(
            f"| {name} | {m['rows']} ({m['positives']}) | {_span(m.get('auroc'))} | "
            + " | ".join(rates)
            + " |"
        )
    return lines


def groups(sets: Mapping[str, Any]) -> list[str]:
    """One line a group: AUROC, recall and false positives at warn."""
    lines = [
        "| set | group | rows | AUROC | recall at warn | false positives at warn |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, m in sets.items():
        for group, g in m.get("groups", {}).items():
            area = f"{g['auroc'][0]:.3f}" if "auroc" in g else "-"
            rates = [
                f"{g['warn'][k][0]:.0%}" if k in g["warn"] else "-"
                for k in ("recall", "false_positive_rate")
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
        " warn set by |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for task, told in results["pools"].items():
        cells = [
            f"{results['thresholds'][task][level]:.4f} | {told[level]['hits']}"
            f" ({told[level]['upper']:.2%})"
            for level in ("warn", "page")
        ]
        lines.append(f"| {task} | {told['pool']} | {' | '.join(cells)} | {told['decided']} |")
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


def write(folder: Path, results: Mapping[str, Any], found: Sequence[Example]) -> None:
    """card.md beside the finished files in ``folder``."""
    plots(folder, results)
    failed = [e for e in found if not e[4]]
    size = sum(p.stat().st_size for p in folder.iterdir() if p.suffix in (".onnx", ".json")) / 1e6
    parts = [
        *(
            "\n".join(["", f"### {task}", "", *table(sets)])
            for task, sets in results["tests"].items()
        )
    ]
    by_group = [
        "\n".join(["", f"### {task}", "", *groups(sets)]) for task, sets in results["tests"].items()
    ]
    shown = [
        f"| {task} | {text.replace('|', '/')} | {side} | {score:.4f} |"
        f" {'ok' if passed else '**fails**'} |"
        for task, text, side, score, passed in found
    ]
    cascade = [
        f"- {task}: {told['flagged']} dev rows are flagged by the model, {told['kept']:.2%} of them"
        f" pass the first pass; it clears {told['cleared_harmless']:.0%} of the harmless ones"
        f" (limit {told['limit']:.4f})."
        for task, told in results["cascade"].items()
    ]
    speed = results["speed"]
    text = (Path(__file__).parent / "card_template.md").read_text(encoding="utf-8")
    for mark, value in {
        "AIMS": "\n".join(aims(results)),
        "TABLES": "\n".join(parts),
        "GROUPS": "\n".join(by_group),
        "POOLS": "\n".join(_pools(results)),
        "CASCADE": "\n".join(cascade),
        "EXAMPLES": "\n".join(shown),
        "FAILED": f"{len(failed)} of {len(found)}",
        "SPEED": f"{speed['alone']:.0f} texts/s alone, {speed['cascade']:.0f} texts/s through the"
        f" cascade ({speed['cleared']:.0%} cleared)",
        "SIZE": f"{size:.1f} MB",
        "TRAINED": results["trained"],
        "LEARNING": learning(results["learning"]),
        "LENGTHS": "\n".join(lengths(results["tests"]["hallucination"])),
    }.items():
        text = text.replace("{{" + mark + "}}", value)
    (folder / "card.md").write_text(text, encoding="utf-8")
    print(f"plain examples: {len(found) - len(failed)}/{len(found)} as expected; {size:.1f} MB")
    for task, text, side, score, _ in failed:
        print(f"  fails: {task} expected {side}, score {score:.4f}: {text[:90]}")
