"""How our Kafka clients connect: address, TLS and SASL from the configuration."""

from typing import Any

from aiokafka.helpers import create_ssl_context

from schemas.config import KafkaConfig

METADATA_MAX_AGE_MS = 5_000
"""A group that rejoins while a broker starts may see topics without partitions and assign nothing;
the next metadata makes it join again. The clients' default is five minutes."""


def kafka_options(config: KafkaConfig) -> dict[str, Any]:
    """Keyword arguments that every aiokafka client takes alike.

    Raises ``OSError`` or ``ssl.SSLError`` if a certificate file cannot be read.
    """
    options: dict[str, Any] = {
        "bootstrap_servers": config.bootstrap_servers,
        "client_id": config.client_id,
        "security_protocol": config.security_protocol,
        "metadata_max_age_ms": METADATA_MAX_AGE_MS,
    }
    if config.security_protocol in ("SSL", "SASL_SSL"):
        options["ssl_context"] = create_ssl_context(
            cafile=config.ssl_cafile, certfile=config.ssl_certfile, keyfile=config.ssl_keyfile
        )
    if config.security_protocol.startswith("SASL_"):
        options["sasl_mechanism"] = config.sasl_mechanism
        options["sasl_plain_username"] = config.sasl_username
        options["sasl_plain_password"] = config.sasl_password.get_secret_value()
    return options
