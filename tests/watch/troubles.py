"""Traffic of a day with one trouble each, and the alerts that it calls for."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from schemas.evaluators import Evaluator, Label, State, Target
from schemas.identity import evaluation_revision, span_day
from schemas.records import Evaluation, Operation
from tests.sql.records import call, evaluation, operation

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
NOW_S = time.time_ns() // SECOND_NS
AT_NS = (NOW_S - 60 if NOW_S % 86_400 < 60 else NOW_S) * SECOND_NS
"""Now, or a minute ago while the UTC day is too young to have calls."""
DAY_BEFORE = [75 * MINUTE_NS + number * 4 * MINUTE_NS for number in range(360)]
HALF_AN_HOUR_AGO = [15 * MINUTE_NS + number * 40 * SECOND_NS for number in range(30)]
LATELY = [(number + 1) * 14 * SECOND_NS for number in range(60)]
JUDGED = (
    (Evaluator.INJECTION, Target.OPERATION),
    (Evaluator.TOXICITY, Target.OPERATION),
    (Evaluator.TOXICITY, Target.OUTPUT),
    (Evaluator.HALLUCINATION, Target.OPERATION),
    (Evaluator.PII, Target.OUTPUT),
    (Evaluator.SECRETS, Target.OUTPUT),
)


@dataclass
class Call:
    """One call as a trouble may bend it."""

    number: int
    age_ns: int
    call: dict[str, Any] = field(default_factory=dict)
    verdicts: dict[tuple[Evaluator, Target], dict[str, Any]] = field(
        default_factory=lambda: {key: {} for key in JUDGED}
    )
    tool_after_s: int | None = None
    """When a tool of the trace was called, s after this call's end; None: never."""

    @property
    def lately(self) -> bool:
        """Of the last hour."""
        return self.age_ns < 60 * MINUTE_NS


Trouble = Callable[[list[Call]], list[Call]]


def each(change: Callable[[Call], None], every: int = 1, lately: bool = True) -> Trouble:
    """Bend every n-th call of the last hour (or of all)."""

    def bend(calls: list[Call]) -> list[Call]:
        chosen = [call for call in calls if call.lately or not lately]
        for chosen_call in chosen[::every]:
            change(chosen_call)
        return calls

    return bend


def flagged(evaluator: Evaluator, target: Target, label: Label = Label.PAGE) -> Any:
    def change(one: Call) -> None:
        one.verdicts[evaluator, target] = {"score": 0.99, "label": label}

    return change


def attacked(*signs: tuple[Evaluator, Target], tool_after_s: int | None = None) -> Trouble:
    """Three calls of the last quarter of an hour with an injection, and what came of it."""

    def change(one: Call) -> None:
        for evaluator, target in ((Evaluator.INJECTION, Target.OPERATION), *signs):
            one.verdicts[evaluator, target] = {"score": 0.99, "label": Label.PAGE}
        one.tool_after_s = tool_after_s

    return each(change, 20)


def failing(one: Call) -> None:
    one.call["status"] = "error"


def slow(one: Call) -> None:
    one.call["duration_ns"] = 12 * SECOND_NS


def dear(one: Call) -> None:
    one.call["cost_usd"] = "0.05"


def very_dear(one: Call) -> None:
    one.call["cost_usd"] = "120"


def unpriced(one: Call) -> None:
    one.call.update(cost_usd=None, price_version="")


def without_content(one: Call) -> None:
    one.call["content_state"] = "not_captured"


def unjudged(one: Call) -> None:
    one.verdicts.clear()


def broken_evaluator(one: Call) -> None:
    one.verdicts[Evaluator.TOXICITY, Target.OPERATION] = {"state": State.FAILED}


def silent(calls: list[Call]) -> list[Call]:
    """Nothing for half an hour, after an hour as busy as ever."""
    kept = [one for one in calls if one.age_ns > 60 * MINUTE_NS]
    for number, one in enumerate(kept[:40]):
        one.age_ns = (31 + number) * MINUTE_NS
    return kept


TROUBLES: dict[str, tuple[Trouble, set[str]]] = {
    "healthy": (lambda calls: calls, set()),
    "burst": (each(flagged(Evaluator.INJECTION, Target.OPERATION), 3), {"InjectionBurst"}),
    "tool after injection": (attacked(tool_after_s=3), {"InjectionFollowedByCompliance"}),
    "markup after injection": (
        attacked((Evaluator.UNSAFE_OUTPUT, Target.OPERATION)),
        {"InjectionFollowedByCompliance"},
    ),
    "secret after injection": (
        attacked((Evaluator.SECRETS, Target.OUTPUT)),
        {"InjectionFollowedByCompliance", "SecretInAnswer"},
    ),
    "injection and no more": (attacked(), set()),
    "tool before injection": (attacked(tool_after_s=-3), set()),
    "refused injection": (
        attacked((Evaluator.REFUSAL, Target.OPERATION), tool_after_s=3),
        set(),
    ),
    "markup without injection": (
        each(flagged(Evaluator.UNSAFE_OUTPUT, Target.OPERATION), 20),
        set(),
    ),
    "secret": (each(flagged(Evaluator.SECRETS, Target.OUTPUT), 40), {"SecretInAnswer"}),
    "pii": (
        each(flagged(Evaluator.PII, Target.OUTPUT, Label.WARN), 5),
        {"PersonalDataInAnswers"},
    ),
    "toxic": (each(flagged(Evaluator.TOXICITY, Target.OUTPUT), 30), {"ToxicAnswers"}),
    "toxic at warn": (
        each(flagged(Evaluator.TOXICITY, Target.OUTPUT, Label.WARN), 30),
        set(),
    ),
    "unsupported": (
        each(flagged(Evaluator.HALLUCINATION, Target.OPERATION), 4),
        {"UnsupportedAnswers"},
    ),
    "unsupported as ever": (
        each(flagged(Evaluator.HALLUCINATION, Target.OPERATION), 4, lately=False),
        set(),
    ),
    "some errors": (each(failing, 12), {"CallsFail"}),
    "many errors": (each(failing, 3), {"CallsFail", "ErrorBudgetBurns"}),
    "slow": (each(slow), {"CallsSlow"}),
    "slow as ever": (each(slow, lately=False), set()),
    "dear": (each(dear), {"CostSpike"}),
    "over budget": (each(very_dear, lately=False), {"CostBudget", "CostSpike"}),
    "unpriced": (each(unpriced, lately=False), set()),
    "silent": (silent, {"ServiceSilent"}),
    "no verdicts": (each(unjudged), {"VerdictsMissing"}),
    "evaluator": (each(broken_evaluator, 4), {"EvaluatorsFail"}),
    "no content": (each(without_content), {"ContentMissing"}),
    "few calls": (lambda calls: [one for one in calls if failing(one) is None][:15], set()),
}


def tool_call(tenant: str, one: Call, start_ns: int) -> Operation:
    """A tool's call in the trace of a call."""
    day = span_day(start_ns, AT_NS // 1_000_000)
    end_ns = start_ns + SECOND_NS
    said = call(
        kind="execute_tool", tool_name="send_mail", content_state="not_captured", start_ns=start_ns,
        end_ns=end_ns,
    )  # fmt: skip
    return operation(one.number, 2, tenant=tenant, day=day, call=said)


def rows_of(tenant: str, trouble: Trouble) -> tuple[list[Operation], list[Evaluation]]:
    ages = enumerate(LATELY + HALF_AN_HOUR_AGO + DAY_BEFORE)
    operations: list[Operation] = []
    verdicts: list[Evaluation] = []
    for one in trouble([Call(number, age_ns) for number, age_ns in ages]):
        end_ns = AT_NS - one.age_ns
        start_ns = end_ns - one.call.pop("duration_ns", 2 * SECOND_NS)
        day = span_day(start_ns, AT_NS // 1_000_000)
        said = call(start_ns=start_ns, end_ns=end_ns, **one.call)
        operations.append(operation(one.number, 1, tenant=tenant, day=day, call=said))
        if one.tool_after_s is not None:
            operations.append(tool_call(tenant, one, end_ns + one.tool_after_s * SECOND_NS))
        for (evaluator, target), changes in one.verdicts.items():
            state = changes.get("state", State.OK)
            revision = evaluation_revision(state, 1, AT_NS)
            usual = {"tenant": tenant, "day": day, "span_end_ns": end_ns, "revision": revision}
            verdicts.append(
                evaluation(
                    one.number, 1, evaluator=evaluator, target=target, **{**usual, **changes}
                )
            )
    return operations, verdicts
