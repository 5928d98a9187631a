"""What the engine says of a text: the scores of its windows made one. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from processors.evaluate.batching import Tokenised, WindowScores
from processors.evaluate.graphs import F32, Model


@dataclass(frozen=True, slots=True)
class TaskScore:
    """One task's score of a text and the characters of its worst window."""

    score: float
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class TextScores:
    """What the model said of one text; ``tasks`` is empty when it could not judge it."""

    tasks: dict[str, TaskScore] = field(default_factory=dict)
    embedding: F32 | None = None
    windows: int = 0
    truncated: bool = False
    failed: bool = False
    cleared: bool = False
    """Whether the first pass alone decided, on every window."""


def aggregate(
    model: Model, tokenised: Tokenised | None, scored: Sequence[WindowScores | None]
) -> TextScores:
    """Scores of a text from those of its windows; one lost window fails the text."""
    windows = [scores for scores in scored if scores is not None]
    if tokenised is None or not windows or len(windows) < len(scored):
        return TextScores(failed=True, windows=len(scored))
    tasks: dict[str, TaskScore] = {}
    for name in windows[0].scores:
        values = [window.scores[name] for window in windows]
        worst = max(range(len(values)), key=values.__getitem__)
        mean = model.manifest.tasks[name].aggregation == "mean"
        score = sum(values) / len(values) if mean else values[worst]
        place = tokenised.windows[worst]
        tasks[name] = TaskScore(score, place.start, place.end)
    support = model.support_task()
    heads = support is not None and support.input == "two_texts"
    return TextScores(
        tasks,
        # Claims and evidence chunks fit one window; of a longer text its beginning speaks.
        # Thousands of scores are kept, so an embedding that no head reads is not.
        windows[0].embedding if heads else None,
        len(windows),
        tokenised.truncated,
        cleared=all(window.cleared for window in windows),
    )
