"""A model folder that cannot be used is refused with what is wrong and where."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from schemas.manifest import SHIPPED_MODELS, ManifestError, load_manifest, model_folder

FILES = {"tokenizer.json": b"{}", "model.onnx": b"graph"}


def manifest(**changes: Any) -> dict[str, Any]:
    """A manifest of :data:`FILES`."""
    return {
        "schema": "streamgauge.model/v1",
        "name": "tiny",
        "version": "1",
        "licence": "Apache-2.0",
        "provenance": "made here",
        "tokenizer": {"file": "tokenizer.json", "max_length": 64, "stride": 8},
        "graphs": {"text": {"file": "model.onnx"}},
        "tasks": {
            "injection": {
                "graph": "text",
                "input": "text",
                "output": "p",
                "thresholds": {"warn": 0.5, "page": 0.8},
            }
        },
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in FILES.items()},
        **changes,
    }


def folder(path: Path, content: dict[str, Any]) -> Path:
    """A model folder with that manifest."""
    for name, data in FILES.items():
        (path / name).write_bytes(data)
    (path / "manifest.yaml").write_text(yaml.safe_dump(content))
    return path


def refusal(path: Path) -> str:
    """Text of the error that loading gives."""
    with pytest.raises(ManifestError) as caught:
        load_manifest(path)
    return str(caught.value)


def test_a_sound_folder_loads(tmp_path: Path) -> None:
    loaded = load_manifest(folder(tmp_path, manifest()))
    assert loaded.threshold_version("injection") == "warn=0.5,page=0.8"
    assert loaded.model_version("injection").startswith("tiny-1-")


def test_thresholds_are_no_part_of_the_model_version(tmp_path: Path) -> None:
    first = load_manifest(folder(tmp_path, manifest())).model_version("injection")
    task = manifest()["tasks"]["injection"]
    stricter = {"injection": {**task, "thresholds": {"warn": 0.1, "page": 0.2}}}
    other = {"injection": {**task, "output": "q"}}
    tasks = [load_manifest(folder(tmp_path, manifest(tasks=each))) for each in (stricter, other)]
    assert tasks[0].model_version("injection") == first
    assert tasks[1].model_version("injection") != first


def test_a_folder_of_ones_own_models_has_the_shipped_ones_too(tmp_path: Path) -> None:
    assert model_folder(tmp_path, "starter") == SHIPPED_MODELS / "starter"
    assert model_folder(tmp_path, "gone") == tmp_path / "gone"
    (tmp_path / "starter").mkdir()
    assert model_folder(tmp_path, "starter") == tmp_path / "starter"


def test_missing_manifest_names_the_settings(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none") == (
        f"no model: {tmp_path / 'none' / 'manifest.yaml'} is missing "
        "(evaluate.models_dir, evaluate.model)"
    )


def test_missing_file_is_named_with_its_hash(tmp_path: Path) -> None:
    content = manifest()
    (folder(tmp_path, content) / "model.onnx").unlink()
    expected = content["files"]["model.onnx"]
    assert refusal(tmp_path) == f"{tmp_path / 'model.onnx'} is missing; expected sha256 {expected}"


def test_wrong_hash_names_expected_and_found(tmp_path: Path) -> None:
    content = manifest()
    (folder(tmp_path, content) / "model.onnx").write_bytes(b"another")
    assert refusal(tmp_path) == (
        f"{tmp_path / 'model.onnx'}: expected sha256 {content['files']['model.onnx']}, "
        f"found {hashlib.sha256(b'another').hexdigest()}"
    )


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"colour": "red"}, "colour\n  Extra inputs are not permitted"),
        ({"tokenizer": {"file": "tokenizer.json", "max_length": 64}}, "tokenizer.stride\n"),
        ({"schema": "streamgauge.model/v9"}, "schema\n"),
        ({"files": {}}, "files: no hash for model.onnx, tokenizer.json"),
        (
            {"graphs": {"other": {"file": "model.onnx"}}},
            "tasks.injection.graph: no graph named 'text'",
        ),
    ],
)
def test_wrong_key_is_named(tmp_path: Path, changes: dict[str, Any], text: str) -> None:
    found = refusal(folder(tmp_path, manifest(**changes)))
    assert found.startswith(f"{tmp_path / 'manifest.yaml'}: ")
    assert text in found
