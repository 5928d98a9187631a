"""Connection options from the configuration."""

import ssl

import pytest
from pydantic import SecretStr

from ingest.kafka import METADATA_MAX_AGE_MS, kafka_options
from schemas.config import KafkaConfig


def test_plaintext_needs_an_address_only() -> None:
    assert kafka_options(KafkaConfig(bootstrap_servers="a:1,b:2")) == {
        "bootstrap_servers": "a:1,b:2",
        "client_id": "streamgauge",
        "security_protocol": "PLAINTEXT",
        "metadata_max_age_ms": METADATA_MAX_AGE_MS,
    }


@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL", "SSL"])
def test_tls_verifies_the_broker_and_sasl_carries_the_password(protocol: str) -> None:
    sasl = {"sasl_username": "u", "sasl_password": SecretStr("p")}
    fields = sasl if protocol.startswith("SASL") else {}
    options = kafka_options(KafkaConfig.model_validate({"security_protocol": protocol, **fields}))
    context = options.get("ssl_context")
    assert isinstance(context, ssl.SSLContext) == ("SSL" in protocol.split("_"))
    if context is not None:
        assert context.verify_mode == ssl.CERT_REQUIRED
        assert context.check_hostname
    assert options.get("sasl_plain_password") == ("p" if protocol.startswith("SASL") else None)
