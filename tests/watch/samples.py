"""Verdicts and signals to test with."""

from pathlib import Path

from schemas.alert_records import AlertSignal
from schemas.evaluators import Evaluator, Label, State, Target
from schemas.records import Evaluation

TENANT = "acme"
SECOND_NS = 1_000_000_000
BASE_NS = 1_767_225_600 * SECOND_NS
RULES = """
groups:
  - name: safety
    rules:
      - alert: PromptInjection
        evaluation: {evaluator: injection, label: page}
        labels: {severity: page}
        annotations:
          summary: "Injection against {service_name}: {count} (worst {value})"
          query: "traces {trace_ids}"
      - alert: Toxic
        evaluation: {evaluator: toxicity, min_score: 0.5}
        group_by: [service_name, environment]
        recovery_s: 120
"""


def rules_file(folder: Path, text: str = RULES) -> Path:
    path = folder / "rules.yaml"
    path.write_text(text)
    return path


def verdict(number: int = 1, **changes: object) -> Evaluation:
    return Evaluation.model_validate(
        {
            "tenant": TENANT,
            "trace_id": f"{number:032x}",
            "span_id": f"{number:016x}",
            "evaluator": Evaluator.INJECTION,
            "model_version": "starter-1",
            "target": Target.OPERATION,
            "revision": 1,
            "day": "2026-01-01",
            "state": State.OK,
            "score": 0.97,
            "label": Label.PAGE,
            "input_hash": f"hash{number}",
            "span_end_ns": BASE_NS + 30 * SECOND_NS,
            "service_name": "shop",
            "environment": "prod",
            **changes,
        }
    )


def signal(number: int = 1, *, end_s: float = 30, **changes: object) -> AlertSignal:
    return AlertSignal.model_validate(
        {
            "tenant": TENANT,
            "signal_id": f"signal{number}",
            "rule": "PromptInjection",
            "rule_version": "v1",
            "labels": {"alertname": "PromptInjection", "service_name": "shop"},
            "trace_id": f"{number:032x}",
            "span_id": f"{number:016x}",
            "evaluator": Evaluator.INJECTION,
            "input_hash": f"hash{number}",
            "score": 0.9 + number / 1000,
            "span_end_ns": BASE_NS + round(end_s * SECOND_NS),
            **changes,
        }
    )
