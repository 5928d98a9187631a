"""``streamgauge rules check``: the file, and every query once."""

from pathlib import Path
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from schemas.config import Config
from sql.migrate import migrate
from stack.cli import app

SHIPPED = Path(__file__).parents[2] / "deploy" / "rules.yaml"


@pytest.fixture
def config(config: Config) -> Config:
    """A database of its own."""
    section = config.clickhouse.model_copy(update={"database": f"rules_{uuid4().hex[:12]}"})
    return config.model_copy(update={"clickhouse": section})


def check(config: Config, *arguments: str) -> tuple[int, str]:
    environment = {
        "STREAMGAUGE_CLICKHOUSE__URL": config.clickhouse.url,
        "STREAMGAUGE_CLICKHOUSE__DATABASE": config.clickhouse.database,
        "STREAMGAUGE_CLICKHOUSE__TOKEN": config.clickhouse.token.get_secret_value(),
    }
    done = CliRunner().invoke(app, ["rules", "check", *arguments], env=environment)
    return done.exit_code, done.output


def test_the_shipped_file_is_asked(config: Config) -> None:
    migrate(config)
    status, output = check(config, str(SHIPPED))
    assert status == 0, output
    assert "PromptInjection: ok\n" in output
    assert "CallsFail: ok, 0 hold now\n" in output


def test_a_query_without_an_answer_fails_the_check(config: Config, tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(
        'groups: [{name: a, rules: [{alert: Wrong, expr: "SELECT 1 FROM nowhere, {at:DateTime}"}]}]'
    )
    status, output = check(config, str(path))
    assert status == 1
    assert "Wrong: ClickHouse error" in output
    assert check(config, "--no-ask", str(path)) == (0, "Wrong: ok\n")


def test_a_refused_file_is_one_line(config: Config, tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text("groups: [{name: a, rules: [{alert: A}]}]")
    status, output = check(config, str(path))
    assert status == 1
    assert "exactly one of evaluation, expr" in output
