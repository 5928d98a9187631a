"""Every check with its version: raise a version when the check would say something else."""

from collections.abc import Callable
from typing import NamedTuple

from processors.evaluate.checks import (
    figures,
    language,
    leakage,
    leaked,
    readability,
    refusal,
    repetition,
    structure,
    unsafe,
)
from processors.evaluate.checks.subject import Measured, Subject
from schemas.evaluators import Evaluator


class Check(NamedTuple):
    """``measure`` returns None where there is nothing to judge."""

    measure: Callable[[Subject], Measured | None]
    version: str


CHECKS = {
    Evaluator.REFUSAL: Check(refusal.refusal, refusal.VERSION),
    Evaluator.LANGUAGE: Check(language.language, language.VERSION),
    Evaluator.REPETITION: Check(repetition.repetition, repetition.VERSION),
    Evaluator.READABILITY: Check(readability.readability, readability.VERSION),
    Evaluator.JSON_VALIDITY: Check(structure.json_validity, structure.VERSION),
    Evaluator.PROMPT_LEAK: Check(leakage.prompt_leak, leakage.VERSION),
    Evaluator.UNSAFE_OUTPUT: Check(unsafe.unsafe_output, unsafe.VERSION),
    Evaluator.LEAKED: Check(leaked.leaked, leaked.VERSION),
    Evaluator.LENGTH: Check(figures.length, figures.LENGTH_VERSION),
    Evaluator.TIME_PER_TOKEN: Check(figures.time_per_token, figures.TIME_VERSION),
    Evaluator.FINISH_REASON: Check(figures.finish_reason, figures.FINISH_VERSION),
    Evaluator.TOOL_FAILURE: Check(figures.tool_failure, figures.TOOL_VERSION),
}
