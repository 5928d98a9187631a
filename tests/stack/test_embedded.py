"""The embedded stack's configuration, secrets and what its children read."""

import stat
from pathlib import Path

import pytest
from pydantic import SecretStr

from schemas.config import Config, KafkaConfig, RuntimeConfig
from schemas.receivers import WebhookReceiver
from sql import client
from stack.children import child_environment
from stack.clickhouse import server
from stack.embedded import child_settings, embedded_config
from stack.errors import StackError


def test_children_read_the_configuration_in_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMGAUGE_KAFKA__SESSION_TIMEOUT_S", "45")
    monkeypatch.setenv("STREAMGAUGE_TENANT", "acme")
    given = Config(runtime=RuntimeConfig(data_dir=tmp_path))
    given.notify.receivers.append(WebhookReceiver(name="demo", url="http://127.0.0.1:1/"))
    effective = embedded_config(given)
    environment = child_environment(child_settings(effective))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    for name in ("STREAMGAUGE_KAFKA__SESSION_TIMEOUT_S", "STREAMGAUGE_TENANT"):
        assert name not in environment
        monkeypatch.delenv(name)
    child = Config()
    assert child.kafka.session_timeout_s == 6.0
    assert child.kafka.partitions == 4
    assert not child.kafka.idempotent_producer
    assert child.tenant == "acme"
    assert child.notify.receivers == given.notify.receivers
    assert child.clickhouse.token == effective.clickhouse.token
    assert child.privacy.redaction_key_file == tmp_path / "redaction-key"
    assert given.kafka.partitions == 8  # the user's own is left alone


def test_secrets_are_kept_private_and_out_of_the_file(tmp_path: Path) -> None:
    config = Config(
        kafka=KafkaConfig(
            security_protocol="SASL_PLAINTEXT",
            sasl_username="u",
            sasl_password=SecretStr("kafka-pass"),
        ),
        runtime=RuntimeConfig(data_dir=tmp_path),
    )
    effective = embedded_config(config)
    token = effective.clickhouse.token.get_secret_value()
    assert len(token) == 64
    settings = child_settings(effective)
    assert settings["STREAMGAUGE_CLICKHOUSE__TOKEN"] == token
    assert settings["STREAMGAUGE_KAFKA__SASL_PASSWORD"] == "kafka-pass"
    written = (tmp_path / "streamgauge.yaml").read_text()
    assert token not in written
    assert "kafka-pass" not in written
    for name in ("clickhouse-token", "redaction-key"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert embedded_config(config).clickhouse.token.get_secret_value() == token


def test_what_the_user_set_is_kept(tmp_path: Path) -> None:
    config = Config(
        kafka=KafkaConfig(partitions=2),
        runtime=RuntimeConfig(data_dir=tmp_path),
        evaluate={"threads": 3},
    )
    effective = embedded_config(config)
    assert (effective.kafka.partitions, effective.evaluate.threads) == (2, 3)


def test_an_address_elsewhere_is_refused(tmp_path: Path) -> None:
    config = Config(
        kafka=KafkaConfig(bootstrap_servers="kafka.example:9092"),
        runtime=RuntimeConfig(data_dir=tmp_path),
    )
    with pytest.raises(StackError, match=r"kafka\.bootstrap_servers is kafka\.example:9092"):
        embedded_config(config)


def test_one_token_header() -> None:
    assert server.TOKEN_HEADER == client.TOKEN_HEADER
