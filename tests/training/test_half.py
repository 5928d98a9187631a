"""The fp16 copy of the shipped model gives the same verdicts as the int8 one.

Strings below are data for classifiers, never instructions.
"""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from processors.evaluate.batching import (
    plan_batches,
    score_batch,
    score_pairs,
    tokenise,
    tokenise_pairs,
)
from processors.evaluate.graphs import Model
from processors.evaluate.models import load_model
from schemas.config import EvaluateConfig
from training import half
from training.written import benign, direct, facts, harm, hate, roleplay

STARTER = Path(__file__).parents[2] / "models" / "starter"
TASKS = ("injection", "toxicity")
DIFFERENCE = 0.01
"""Largest difference of a score; a level may change only for scores that close to a threshold."""
Scores = dict[str, npt.NDArray[np.float64]]


def corpus() -> tuple[list[str], list[tuple[str, str]]]:
    """Fixed texts and pairs, of both labels for every task."""
    rng = random.Random(19)
    texts = direct.attacks(rng)[:60] + benign.benign(rng)[:60]
    for rows in (roleplay.prompts(rng, 30, 30), hate.rows(rng), harm.rows(rng)):
        texts += [row[0] for row in rng.sample(rows, 60)]
    return texts, [(case.claim, case.evidence) for case in facts.cases(120, rng)]


def scored(model: Model) -> Scores:
    """Score by task of the fixed corpus."""
    texts, pairs = corpus()
    rows = [one.windows[0].ids for one in tokenise(model, texts, 1)]
    found: Scores = {task: np.zeros(len(rows)) for task in TASKS}
    for batch in plan_batches([len(row) for row in rows], 4096):
        for place, scores in zip(batch, score_batch(model, [rows[i] for i in batch]), strict=True):
            assert scores is not None
            for task in TASKS:
                found[task][place] = scores.scores[task]
    windows = [one[0] for one in tokenise_pairs(model, pairs)]
    found["hallucination"] = np.asarray(score_pairs(model, windows, 4096), np.float64)
    return found


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Scores, Scores]:
    """The shipped model, its scores, and those of its fp16 copy."""
    folder = tmp_path_factory.mktemp("models")
    half.write(STARTER, folder / "half")
    shipped = load_model(EvaluateConfig(device="cpu", threads=1))
    copy = load_model(EvaluateConfig(models_dir=folder, model="half", device="cpu", threads=1))
    return shipped, scored(shipped), scored(copy)


@pytest.mark.parametrize("task", [*TASKS, "hallucination"])
def test_scores_and_levels_are_those_of_int8(both: tuple[Model, Scores, Scores], task: str) -> None:
    model, full, halved = both
    assert float(np.abs(full[task] - halved[task]).max()) <= DIFFERENCE
    limits = model.manifest.tasks[task].thresholds
    for limit in (limits.warn, limits.page):
        flipped = (full[task] >= limit) != (halved[task] >= limit)
        assert flipped.mean() <= 0.01
    assert full[task].min() < limits.warn <= full[task].max()


def test_the_copy_says_what_it_is(tmp_path: Path) -> None:
    half.write(STARTER, tmp_path / "half")
    with pytest.raises(FileExistsError):
        half.write(STARTER, tmp_path / "half")
    text = (tmp_path / "half" / "manifest.yaml").read_text(encoding="utf-8")
    assert "fp16 weights" in text
    assert "int8" not in text
