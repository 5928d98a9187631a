"""Environment over file over defaults; wrong keys are named; secrets stay hidden."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from schemas.config import Config

SECRET = "hunter2"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration file in force, empty so far."""
    path = tmp_path / "streamgauge.yaml"
    path.write_text("")
    monkeypatch.setenv("STREAMGAUGE_CONFIG", str(path))
    return path


def test_defaults_hold_without_a_file(file: Path) -> None:
    file.unlink()
    assert Config().kafka.bootstrap_servers == "127.0.0.1:9092"


def test_environment_overrides_file_overrides_default(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text("kafka: {partitions: 12, client_id: of-the-file}\n")
    monkeypatch.setenv("STREAMGAUGE_KAFKA__PARTITIONS", "24")
    kafka = Config().kafka
    assert (kafka.partitions, kafka.client_id, kafka.replication_factor) == (24, "of-the-file", 1)


def test_file_of_the_working_directory_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STREAMGAUGE_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "streamgauge.yaml").write_text("tenant: acme\n")
    assert Config().tenant == "acme"


def test_receivers_come_from_the_environment_too(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "STREAMGAUGE_NOTIFY__RECEIVERS", '[{"name": "ops", "url": "http://127.0.0.1:1/"}]'
    )
    assert [receiver.name for receiver in Config().notify.receivers] == ["ops"]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("kafak: {}\n", ("kafak",)),
        ("kafka: {partition: 8}\n", ("kafka", "partition")),
        (
            "notify: {receivers: [{name: a, url: b, secret: c}]}\n",
            ("notify", "receivers", 0, "webhook", "secret"),
        ),
    ],
)
def test_unknown_key_is_named(file: Path, text: str, place: tuple[str, ...]) -> None:
    file.write_text(text)
    with pytest.raises(ValidationError) as caught:
        Config()
    (error,) = caught.value.errors()
    assert (error["type"], error["loc"]) == ("extra_forbidden", place)


def test_unknown_key_of_the_environment_is_named(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMGAUGE_KAFKA__PARTITION", "8")
    with pytest.raises(ValidationError, match=r"kafka\.partition\b"):
        Config()


def test_secrets_are_hidden_when_printed(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "KAFKA__SASL_PASSWORD",
        "CLICKHOUSE__PASSWORD",
        "CLICKHOUSE__TOKEN",
        "PRIVACY__REDACTION_KEY",
        "TELEMETRY__HEADERS",
    ):
        monkeypatch.setenv(f"STREAMGAUGE_{name}", SECRET)
    monkeypatch.setenv("STREAMGAUGE_KAFKA__SECURITY_PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("STREAMGAUGE_KAFKA__SASL_USERNAME", "u")
    config = Config()
    assert config.kafka.sasl_password.get_secret_value() == SECRET
    for printed in (str(config), repr(config), config.model_dump_json(), str(config.model_dump())):
        assert SECRET not in printed


@pytest.mark.parametrize(
    "url",
    [
        "http://db:99999",
        "http://db:port",
        "http://[::1",
        "db:8123",
        "",
        "tcp://db:9000",
        "http://:1",
    ],
)
def test_a_url_that_never_works_is_refused(file: Path, url: str) -> None:
    file.write_text(f"clickhouse: {{url: '{url}'}}\n")
    with pytest.raises(ValidationError, match="must be http:// or https://") as found:
        Config()
    assert found.value.errors()[0]["loc"] == ("clickhouse", "url")


@pytest.mark.parametrize("url", ["http://db", "https://db:8443/", "http://[::1]:8123"])
def test_a_url_with_a_host_is_taken(file: Path, url: str) -> None:
    file.write_text(f"clickhouse: {{url: '{url}'}}\n")
    assert Config().clickhouse.url == url
