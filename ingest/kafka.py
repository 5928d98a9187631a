"""How our Kafka clients connect: address, TLS and SASL from the configuration."""

import ssl
from typing import Any

from aiokafka.helpers import create_ssl_context

from schemas.config import KafkaConfig
from schemas.secrets import SecretFileError, readable, secret_text

METADATA_MAX_AGE_MS = 5_000
"""A group that rejoins while a broker starts may see topics without partitions and assign nothing;
the next metadata makes it join again. The clients' default is five minutes."""


def kafka_options(config: KafkaConfig) -> dict[str, Any]:
    """Keyword arguments that every aiokafka client takes alike.

    Raises :class:`schemas.secrets.SecretFileError` if a password, certificate or key file cannot
    be used.
    """
    options: dict[str, Any] = {
        "bootstrap_servers": config.bootstrap_servers,
        "client_id": config.client_id,
        "security_protocol": config.security_protocol,
        "metadata_max_age_ms": METADATA_MAX_AGE_MS,
    }
    if config.security_protocol in ("SSL", "SASL_SSL"):
        options["ssl_context"] = _ssl_context(config)
    if config.security_protocol.startswith("SASL_"):
        options["sasl_mechanism"] = config.sasl_mechanism
        options["sasl_plain_username"] = config.sasl_username
        options["sasl_plain_password"] = secret_text(
            config.sasl_password, config.sasl_password_file, "kafka.sasl_password_file"
        )
    return options


def _ssl_context(config: KafkaConfig) -> ssl.SSLContext:
    """Verifies the broker's certificate and name, always."""
    cafile = readable(config.ssl_cafile, "kafka.ssl_cafile")
    certfile = readable(config.ssl_certfile, "kafka.ssl_certfile")
    keyfile = readable(config.ssl_keyfile, "kafka.ssl_keyfile")
    try:
        # An empty password: OpenSSL would ask the terminal for that of an encrypted key.
        context: ssl.SSLContext = create_ssl_context(
            cafile=cafile, certfile=certfile, keyfile=keyfile, password=""
        )
    except ssl.SSLError as error:
        reason = error.reason or "not PEM, or the key is encrypted or of another certificate"
        raise SecretFileError(
            f"kafka.ssl_cafile, kafka.ssl_certfile or kafka.ssl_keyfile: {reason}"
        ) from None
    return context
