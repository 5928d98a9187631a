"""What the models are to reach, beside what can be installed instead, and whether they do.

Peers and floors were measured on the same rows (at most 600 of a set for the slow ones) with their
own default thresholds: metatronnanoguard 0.1.0, prompt-guardrail 1.0.1, jailguard 0.1.2,
alt-profanity-check 1.9.1 and aegis_policy_nli 1.0.5 from PyPI; floors are TF-IDF with logistic
regression, and gradient boosting over six word-overlap features, trained on the same data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from training.evaluate import POOLED

_POOLED = " + ".join(POOLED)
RECALL_ASKED = 0.80


@dataclass(frozen=True, slots=True)
class Aim:
    """``what`` is auroc (at least), false_positive_rate at warn (at most) or recall at warn."""

    task: str
    name: str
    what: str
    value: float
    peer: str


AIMS = (
    Aim("injection", "bipia_test", "auroc", 0.93, "0.818 (TF-IDF)"),
    Aim("injection", "injecagent", "auroc", 0.93, "0.821 (prompt-guardrail)"),
    Aim("injection", _POOLED, "auroc", 0.965, "0.965 on the first (jailguard), 0.979 on the second"
        " (nanoguard)"),
    Aim("injection", _POOLED, "recall", RECALL_ASKED, "90% on the first (jailguard), 96% on the"
        " second (nanoguard)"),
    Aim("injection", "notinject_fpr", "false_positive_rate", 0.05, "1.5% (prompt-guardrail, recall"
        " 0 to 19%)"),
    Aim("injection", "wildguard_benign_fpr", "false_positive_rate", 0.02, "4.5% (nanoguard)"),
    Aim("injection", "xstest_fpr", "false_positive_rate", 0.01, "0.9% (nanoguard)"),
    Aim("toxicity", "openai_moderation", "auroc", 0.92, "0.843 (alt-profanity-check)"),
    Aim("toxicity", "hatecheck", "auroc", 0.80, "0.531 (TF-IDF)"),
    Aim("toxicity", "convabuse_test", "auroc", 0.96, "0.935 (TF-IDF)"),
    Aim("toxicity", "xstest_safe_fpr", "false_positive_rate", 0.02, "4.0% (alt-profanity-check)"),
    Aim("hallucination", "begin_wow", "auroc", 0.92, "0.880 (overlap)"),
    Aim("hallucination", "halueval_qa_test", "auroc", 0.97, "0.936 (overlap)"),
    Aim("hallucination", "fm2_test", "auroc", 0.78, "0.738 (aegis)"),
    Aim("hallucination", "summedits_core", "auroc", 0.70, "0.598 (aegis)"),
    Aim("hallucination", "qags", "auroc", 0.78, "0.673 (overlap)"),
    Aim("hallucination", "rte_eval", "auroc", 0.80, "0.700 (aegis)"),
    Aim("hallucination", "anli_test_nc", "auroc", 0.60, "0.513 (aegis)"),
)  # fmt: skip
SPEED_AIMS = {"alone": (120, "7 (nanoguard)"), "cascade": (600, "30 to 45 (jailguard)")}
_LABELS = {"auroc": "AUROC", "false_positive_rate": "false positives at warn",
           "recall": "recall at warn"}  # fmt: skip


def shown(value: Sequence[float] | None, percent: bool = False) -> str:
    """A figure and its 95% interval."""
    if value is None:
        return "-"
    if percent:
        return f"{value[0]:.1%} ({value[1]:.1%} to {value[2]:.1%})"
    return f"{value[0]:.3f} ({value[1]:.3f} to {value[2]:.3f})"


def _met(aim: Aim, reached: float, recall: float) -> str:
    at_most = aim.what == "false_positive_rate"
    if not (reached <= aim.value if at_most else reached >= aim.value):
        return "**no**"
    if at_most and aim.task == "injection" and recall < RECALL_ASKED:
        return f"**no**: asked at a recall of {RECALL_ASKED:.0%}"
    return "yes"


def aims(results: Mapping[str, Any]) -> list[str]:
    """The aims, what was reached, and whether it is enough."""
    lines = [
        "| task | set | figure | best peer or floor | aim | reached | met |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    recall = results["tests"]["injection"][_POOLED]["warn"]["recall"][0]
    for aim in AIMS:
        found = results["tests"][aim.task].get(aim.name)
        if found is None:
            continue
        value = found.get("auroc") if aim.what == "auroc" else found["warn"].get(aim.what)
        sign = "at most" if aim.what == "false_positive_rate" else "at least"
        wanted = f"{aim.value:g}" if aim.what == "auroc" else f"{aim.value:.0%}"
        lines.append(
            f"| {aim.task} | {aim.name} | {_LABELS[aim.what]} | {aim.peer} | {sign} {wanted} |"
            f" {shown(value, aim.what != 'auroc')} | {_met(aim, value[0], recall)} |"
        )
    for kind, (wanted, peer) in SPEED_AIMS.items():
        value = results["speed"][kind]
        lines.append(
            f"| text tasks | speed, {kind} | texts/s | {peer} | at least {wanted} | {value:.0f} |"
            f" {'yes' if value >= wanted else '**no**'} |"
        )
    return lines
