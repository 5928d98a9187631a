"""A model folder is used only if it is whole, and a device only if it is really there."""

import hashlib
import shutil
from pathlib import Path

import pytest
import yaml

from processors.evaluate.models import DeviceError, check_models, gpu_count, load_model
from processors.evaluate.stage import EvaluateStage
from processors.runtime.memory import FakeClock, MemoryOutputs
from schemas.config import Config
from schemas.manifest import ManifestError
from tests.evaluate.samples import TINY, tiny_config


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(TINY.models_dir / "tiny", tmp_path / "tiny"))


def settings(folder: Path):
    return TINY.model_copy(update={"models_dir": folder.parent})


def change(folder: Path, edit) -> None:
    path = folder / "manifest.yaml"
    manifest = yaml.safe_load(path.read_text())
    edit(manifest)
    path.write_text(yaml.safe_dump(manifest))


def test_a_missing_file_is_named_with_its_expected_hash(folder: Path) -> None:
    expected = yaml.safe_load((folder / "manifest.yaml").read_text())["files"]["model.onnx"]
    (folder / "model.onnx").unlink()
    with pytest.raises(ManifestError, match=f"model.onnx is missing.*{expected}"):
        load_model(settings(folder))


async def test_the_stage_does_not_start_on_a_corrupt_file(folder: Path) -> None:
    (folder / "support.onnx").write_bytes(b"junk")
    config = tiny_config(models_dir=folder.parent)
    stage = EvaluateStage(config, MemoryOutputs(), FakeClock())
    with pytest.raises(ManifestError, match=r"support.onnx: expected sha256 \w{64}, found"):
        await stage.start()


def test_a_file_that_onnx_runtime_cannot_read_is_named(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"junk")
    digest = hashlib.sha256(b"junk").hexdigest()
    change(folder, lambda m: m["files"].update({"model.onnx": digest}))
    with pytest.raises(ManifestError, match=r"model.onnx: ONNX Runtime cannot load it"):
        load_model(settings(folder))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda m: m["tasks"]["toxicity"].update(output="nope"), "no output named 'nope'"),
        (lambda m: m["tasks"]["hallucination"].update(features="v0"), "expected lexical_v2"),
        (lambda m: m["graphs"]["encoder"].update(embedding=""), "names its embedding"),
        (lambda m: m["tasks"]["toxicity"].update(input="pair"), "only one may compare"),
        (lambda m: m["graphs"]["support"].update(inputs=["claim"]), "first run failed"),
        (lambda m: m["tokenizer"].update(stride=14), "stride"),
    ],
)
def test_a_manifest_that_the_graphs_contradict_is_refused(folder: Path, edit, message) -> None:
    change(folder, edit)
    with pytest.raises(ManifestError, match=message):
        load_model(settings(folder))


async def test_the_stage_names_the_evaluators_a_model_lacks(folder: Path) -> None:
    change(folder, lambda m: m["tasks"].pop("toxicity"))
    stage = EvaluateStage(tiny_config(models_dir=folder.parent), MemoryOutputs(), FakeClock())
    with pytest.raises(ManifestError, match="tasks: none for toxicity"):
        await stage.start()


@pytest.mark.skipif(gpu_count() > 0, reason="this machine has a GPU")
def test_a_gpu_demanded_and_absent_is_refused_naming_the_providers() -> None:
    with pytest.raises(DeviceError, match=r"device is cuda.*CPUExecutionProvider"):
        load_model(TINY.model_copy(update={"device": "cuda"}))


@pytest.mark.skipif(gpu_count() > 0, reason="this machine has a GPU")
def test_auto_says_that_it_runs_on_the_cpu(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    assert load_model(TINY.model_copy(update={"device": "auto"})).device == "cpu"
    assert "model tiny 1 on cpu (providers: CPUExecutionProvider" in caplog.text


def test_thresholds_do_not_change_the_model_version(folder: Path) -> None:
    before = load_model(settings(folder)).version
    change(folder, lambda m: m["tasks"]["toxicity"]["thresholds"].update(warn=0.1))
    assert load_model(settings(folder)).version == before


def test_check_times_the_shipped_model() -> None:
    (starter,) = check_models(Config())
    assert starter.name == "starter"
    assert starter.tasks == ("hallucination", "injection", "toxicity")
    assert starter.tokens_per_second > 0
