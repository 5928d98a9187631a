"""Names and addresses by a real ONNX token classifier (``make_names.py``)."""

import shutil
from pathlib import Path

import pytest
import yaml

from processors.operations.content import make_safe
from processors.operations.names import NameFinder
from processors.operations.redact import WITHHELD, Redactor
from processors.operations.stage import OperationsStage
from processors.runtime.clock import SystemClock
from processors.runtime.memory import MemoryOutputs
from schemas.config import Config
from schemas.manifest import ManifestError
from schemas.records import Content, Message, Part

FOLDER = Path(__file__).parent / "names"
KEY = "0123456789abcdef0123456789abcdef"


def config_of(folder: Path | None) -> Config:
    """A configuration with this model of names."""
    return Config(privacy={"redaction_key": KEY, "names_model": folder})  # type: ignore[arg-type]


@pytest.fixture
def redactor() -> Redactor:
    return Redactor.of(config_of(FOLDER))


def test_off_by_default() -> None:
    assert NameFinder.of(Config()) is None
    assert Redactor.of(config_of(None)).redact("Jane Doe", "t", "aa", "p") == ("Jane Doe", [])


def test_names_and_addresses_become_placeholders(redactor: Redactor) -> None:
    text = "Ask Jane Doe, 12 Elm Street; mail jane@example.org. Jane JANE doe."
    masked, findings = redactor.redact(text, "t", "aa", "p")
    found = [finding.entity for finding in findings]
    assert found == ["PERSON", "ADDRESS", "EMAIL", "PERSON", "PERSON"]
    assert masked.startswith("Ask <PERSON_")
    assert findings[0].hash == findings[4].hash  # "Jane Doe" and "JANE doe"
    assert not any(word in masked.lower() for word in ("jane", "doe", "elm"))


def test_long_texts_are_read_in_windows(redactor: Redactor) -> None:
    masked, findings = redactor.redact("word " * 100 + "Jane Doe " + "word " * 100, "t", "aa", "p")
    assert [finding.entity for finding in findings] == ["PERSON"]
    assert "Doe" not in masked


def test_short_labels_are_looked_at_too(redactor: Redactor) -> None:
    assert redactor.redact_attribute("bot of jane", "t", "aa").startswith("bot of <PERSON_")
    assert redactor.pseudonym("jane doe", "t").startswith("id_")


def test_a_model_that_breaks_withholds_the_content(redactor: Redactor) -> None:
    said = Content(input=(Message(role="user", parts=(Part(type="text", text="crashword"),)),))
    safe = make_safe(said, "captured", redactor, "t", "aa")
    assert (safe.content, safe.flags) == (Content(), ["redaction_failed"])
    assert redactor.redact_attribute("crashword", "t", "aa") == WITHHELD


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"names": None}, "no section names"),
        ({"names.graph": "other"}, "no graph named 'other'"),
        ({"names.output": "absent"}, "cannot run"),
        ({"names.labels": ["O", "B-PER"]}, "cannot run"),
        ({"names.entities": {"PER": "NAME"}}, "'PERSON'"),
    ],
)
def test_an_unusable_model_refuses_to_start(
    tmp_path: Path, change: dict[str, object], told: str
) -> None:
    folder = tmp_path / "names"
    shutil.copytree(FOLDER, folder)
    path = folder / "manifest.yaml"
    manifest = yaml.safe_load(path.read_text())
    for key, value in change.items():
        section, _, name = key.partition(".")
        if name:
            manifest[section][name] = value
        else:
            manifest[section] = value
    path.write_text(yaml.safe_dump(manifest))
    with pytest.raises(ManifestError, match=r"privacy\.names_model") as caught:
        OperationsStage(config_of(folder), MemoryOutputs(), SystemClock())
    assert told in str(caught.value)


def test_a_missing_folder_refuses_to_start(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"privacy\.names_model.*manifest\.yaml is missing"):
        Redactor.of(config_of(tmp_path / "absent"))
