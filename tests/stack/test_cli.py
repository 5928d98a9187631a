"""What a user can mend is one clear line and an exit status, never a traceback."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from schemas.config import PACKAGE_ROOT
from stack.cli import app
from stack.ports import free_port


@pytest.fixture
def away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration whose Kafka and ClickHouse are not there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STREAMGAUGE_KAFKA__BOOTSTRAP_SERVERS", f"127.0.0.1:{free_port()}")
    monkeypatch.setenv("STREAMGAUGE_CLICKHOUSE__URL", f"http://127.0.0.1:{free_port()}")


@pytest.mark.usefixtures("away")
@pytest.mark.parametrize(
    ("command", "environment", "status", "said"),
    [
        (["sql", "SELECT 1"], {}, 1, "Connection refused"),
        (["verify", "--traces", "0", "--journal", "none"], {}, 1, "Connection refused"),
        (["verify", "--api-key-file", "none"], {}, 1, "--api-key-file: cannot read none"),
        (["verify", "--ca-file", "none"], {}, 1, "--ca-file: cannot read none"),
        (["migrate"], {}, 1, "KafkaConnectionError"),
        (["status"], {}, 2, "Bring it back"),
        (["tail"], {}, 2, "KafkaConnectionError"),
        (["ledger"], {}, 2, "KafkaConnectionError"),
        (["replay", "--dry-run"], {}, 2, "KafkaConnectionError"),
        (["worker", "--stages", "nope"], {}, 2, "no stage 'nope'"),
        (["worker", "--stages", "operations"], {}, 2, "privacy.redaction_key_file"),
        (
            ["models", "deploy", "starter/injection", "--sample", "2"],
            {},
            1,
            "deploy: sample: Input",
        ),
        (["config"], {"STREAMGAUGE_KAFKA__NOPE": "1"}, 2, "kafka.nope"),
        (["models", "check"], {"STREAMGAUGE_EVALUATE__MODEL": "gone"}, 1, "manifest.yaml"),
    ],
)
def test_one_line_and_a_status(
    command: list[str],
    environment: dict[str, str],
    status: int,
    said: str,
) -> None:
    result = CliRunner().invoke(app, command, env=environment)
    assert result.exit_code == status
    assert said in result.output.replace("\n", "")
    assert "Traceback" not in result.output


@pytest.mark.usefixtures("away")
def test_models_check_names_what_it_measured() -> None:
    assert (PACKAGE_ROOT / "models" / "starter" / "manifest.yaml").is_file()
    result = CliRunner().invoke(app, ["models", "check"])
    assert result.exit_code == 0
    assert "hallucination" in result.output
    assert "ModelCheck" not in result.output


def test_help_names_every_command() -> None:
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    for name in (
        "demo", "up", "gateway", "worker", "migrate", "sql", "verify", "config", "models", "status",
        "tail", "ledger", "replay",
    ):  # fmt: skip
        assert name in result.output
