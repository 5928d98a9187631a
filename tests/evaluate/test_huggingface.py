"""Hugging Face exports run by a manifest alone: RoBERTa with byte-level BPE, ALBERT with Unigram.

``make_huggingface.py`` made both with ``transformers``, whose own scores are in ``expected.json``.
"""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from processors.evaluate.assess import Assessor, Row
from processors.evaluate.models import load_model
from schemas.config import EvaluateConfig
from schemas.evaluators import Evaluator
from schemas.manifest import ManifestError, load_manifest
from stack.cli import app
from stack.models import add_model

EXPORTS = Path(__file__).parent / "huggingface"
SETTINGS = EvaluateConfig(device="cpu", threads=1)
TASKS = {"roberta": Evaluator.INJECTION, "albert": Evaluator.HALLUCINATION}


@pytest.fixture(params=sorted(TASKS))
def export(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder as the exporter left it."""
    target = tmp_path / "exports" / request.param
    ignored = shutil.ignore_patterns("expected.json")
    return Path(shutil.copytree(EXPORTS / request.param, target, ignore=ignored))


def completed(export: Path) -> Path:
    """The folder with its drafted manifest completed as the error asks."""
    with pytest.raises(ManifestError, match=r"manifest.yaml: drafted from config.json"):
        add_model(SETTINGS, export)
    path = export / "manifest.yaml"
    manifest = yaml.safe_load(path.read_text())
    manifest |= {"licence": "Apache-2.0", "provenance": "random weights"}
    path.write_text(yaml.safe_dump(manifest))
    return export


def rows_of(name: str) -> tuple[list[Row], list[float]]:
    """The items that transformers scored, and P(bad) of each."""
    told = json.loads((EXPORTS / name / "expected.json").read_text())
    if name == "albert":
        rows = [Row(label=0, response=c, context=e) for c, e in (one["item"] for one in told)]
        return rows, [sum(one["probabilities"][1:]) for one in told]
    return [Row(label=0, text=one["item"]) for one in told], [
        one["probabilities"][1] for one in told
    ]


async def test_the_scores_are_those_of_transformers(export: Path, tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"models_dir": tmp_path / "models"})
    added = add_model(settings, completed(export))
    evaluator = TASKS[export.name]
    assert (added.tasks, added.device) == ((evaluator.value,), "cpu")
    settings = settings.model_copy(update={"model": export.name})
    rows, expected = rows_of(export.name)
    async with Assessor(load_model(settings), settings) as assessor:
        scores = await assessor.scores(rows, evaluator)
    assert scores == pytest.approx(expected, abs=1e-5)
    assert len({round(score, 3) for score in scores}) == len(rows), "they tell texts apart"


def test_the_draft_reads_the_labels(export: Path) -> None:
    manifest = load_manifest(completed(export))
    task = manifest.tasks[TASKS[export.name]]
    assert (task.output, task.activation) == ("logits", "softmax")
    if export.name == "albert":
        assert (task.input, task.classes, task.first) == ("pair", (1, 2), "evidence")
        assert manifest.tokenizer.max_length == 128
    else:
        assert (task.input, task.classes) == ("text", (1,))
        assert manifest.tokenizer.max_length < 66, "RoBERTa's positions begin after the padding's"


def test_a_model_is_not_taken_in_twice(export: Path, tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"models_dir": tmp_path / "models"})
    add_model(settings, completed(export))
    with pytest.raises(ManifestError, match="is there already: choose another --name"):
        add_model(settings, export)
    assert add_model(settings, export, "second").folder.name == "second"
    assert not list((tmp_path / "models").glob(".*"))


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.onnx"])
def test_what_the_export_lacks_is_named(export: Path, name: str) -> None:
    (export / name).unlink()
    with pytest.raises(ManifestError, match=r"\*\.onnx" if name == "model.onnx" else name):
        add_model(SETTINGS, export)


@pytest.mark.parametrize("packed", [False, True])
def test_eval_prints_the_figures(export: Path, tmp_path: Path, packed: bool) -> None:
    settings = SETTINGS.model_copy(update={"models_dir": tmp_path / "models"})
    add_model(settings, completed(export))
    rows, scores = rows_of(export.name)
    middle = sorted(scores)[len(scores) // 2]
    lines = [
        json.dumps(
            {
                "label": int(score >= middle),
                **(
                    {"context": row.context, "response": row.response}
                    if row.response
                    else {"text": row.text}
                ),
            }
        )
        for row, score in zip(rows, scores, strict=True)
    ]
    data = tmp_path / ("rows.jsonl.gz" if packed else "rows.jsonl")
    data.write_text("\n".join(lines))
    if packed:
        import gzip  # noqa: PLC0415

        data.write_bytes(gzip.compress(data.read_bytes()))
    environment = {
        "STREAMGAUGE_EVALUATE__MODELS_DIR": str(settings.models_dir),
        "STREAMGAUGE_EVALUATE__DEVICE": "cpu",
    }
    name = f"{export.name}/{TASKS[export.name].value}"
    done = CliRunner().invoke(app, ["models", "eval", name, "--data", str(data)], env=environment)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert list(found) == [
        "rows", "auroc", "average_precision", "f1", "precision", "recall",
        "false_positive_rate", "recall_at_1pct_fpr", "texts_per_s",
    ]  # fmt: skip
    assert (found["rows"], found["auroc"], found["average_precision"]) == (len(rows), 1.0, 1.0)
    assert found["recall_at_1pct_fpr"] == 1.0
    at_warn = [score >= 0.5 for score in scores]
    bad = [score >= middle for score in scores]
    hits = sum(flagged and label for flagged, label in zip(at_warn, bad, strict=True))
    assert found["recall"] == pytest.approx(hits / sum(bad), abs=1e-4)
    compared = CliRunner().invoke(
        app, ["models", "compare", name, name, "--data", str(data)], env=environment
    )
    assert compared.exit_code == 0, compared.output
