"""The configuration of the embedded stack: the user's, with what that stack needs put in place.

Keys and tokens are made once and kept in the data folder with mode 0600. Children read a
generated ``streamgauge.yaml`` and get secrets by environment, so that no secret is in that file.
"""

import os
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import yaml
from pydantic import SecretStr

from processors.app import STAGES
from schemas.config import MIB, Config
from stack.children import Environment
from stack.errors import StackError
from stack.ports import PortClaim

SETTINGS_FILE = "streamgauge.yaml"
TOKEN_FILE = "clickhouse-token"  # noqa: S105 - a file's name
PARTITIONS = 4
SESSION_TIMEOUT_S = 6.0
EVIDENCE_BYTES = 64 * MIB
_LOOPBACK = ("127.0.0.1", "localhost")
_PREFIX = "STREAMGAUGE_"
_SECRETS: Mapping[str, Sequence[str]] = {
    "kafka": ("sasl_password",),
    "clickhouse": ("password", "token"),
    "privacy": ("redaction_key",),
    "telemetry": ("headers",),
}
"""Fields that travel to children by environment, never by file."""


def embedded_config(config: Config) -> Config:
    """A copy fit for the embedded stack. Makes the data folder, its token and redaction key.

    What the in-memory broker needs is forced; sizes for one small machine are put in place
    unless the user has set them. Raises :class:`StackError` for addresses that are not loopback.
    """
    result = config.model_copy(deep=True)
    _own_port(result.kafka.bootstrap_servers, "kafka.bootstrap_servers")
    _own_port(result.clickhouse.url, "clickhouse.url")
    data_dir = result.runtime.data_dir.absolute()
    data_dir.mkdir(parents=True, exist_ok=True)
    result.runtime.data_dir = data_dir
    result.kafka.session_timeout_s = SESSION_TIMEOUT_S
    result.kafka.idempotent_producer = False
    # Offsets start over with the in-memory broker, while ClickHouse keeps the ledger.
    result.kafka.incarnation = str(time.time_ns() // 1_000_000_000)
    result.kafka.replication_factor = result.kafka.min_insync_replicas = 1
    if "partitions" not in config.kafka.model_fields_set:
        result.kafka.partitions = PARTITIONS
    if "evidence_bytes" not in config.assemble.model_fields_set:
        result.assemble.evidence_bytes = EVIDENCE_BYTES
    if "threads" not in config.evaluate.model_fields_set:
        # One thread on two cores: seven other processes want them too.
        result.evaluate.threads = 1 if (os.cpu_count() or 1) <= 2 else 2
    result.clickhouse.token = SecretStr(_kept_secret(data_dir / TOKEN_FILE))
    # Whoever reads these settings may stand in another folder.
    evaluate, watch = result.evaluate, result.watch
    evaluate.models_dir = evaluate.models_dir.absolute()
    evaluate.deployments_file = evaluate.deployments_file.absolute()
    watch.rules_file = watch.rules_file.absolute()
    privacy = result.privacy
    if not privacy.redaction_key.get_secret_value() and privacy.redaction_key_file is None:
        _kept_secret(data_dir / "redaction-key")
        privacy.redaction_key_file = data_dir / "redaction-key"
    return result


def token_file(config: Config) -> Path:
    """Where the product's ClickHouse token is kept."""
    return config.runtime.data_dir / TOKEN_FILE


def broker_port(config: Config) -> int:
    """Port of the embedded broker."""
    return _own_port(config.kafka.bootstrap_servers, "kafka.bootstrap_servers")


def clickhouse_port(config: Config) -> int:
    """Port of the embedded ClickHouse."""
    return _own_port(config.clickhouse.url, "clickhouse.url")


def metrics_port(config: Config, name: str) -> int:
    """Port of ``/ready`` and ``/metrics``: the gateway's first, then the stages' in flow order."""
    names = ("gateway", *(stage.name for stage in STAGES))
    return config.runtime.metrics_base_port + names.index(name)


def port_claims(config: Config) -> list[PortClaim]:
    """Every port of the stack, with the option that moves it."""
    metrics_host = config.runtime.metrics_host
    return [
        PortClaim("Kafka", "127.0.0.1", broker_port(config), "kafka.bootstrap_servers"),
        PortClaim("ClickHouse", "127.0.0.1", clickhouse_port(config), "clickhouse.url"),
        PortClaim("OTLP/HTTP", config.gateway.host, config.gateway.http_port, "gateway.http_port"),
        *(
            [PortClaim("OTLP/gRPC", config.gateway.host, grpc_port, "gateway.grpc_port")]
            if (grpc_port := config.gateway.grpc_port)
            else []
        ),
        *(
            PortClaim(
                f"{name}'s metrics",
                metrics_host,
                metrics_port(config, name),
                "runtime.metrics_base_port",
            )
            for name in ("gateway", *(stage.name for stage in STAGES))
        ),
    ]


def child_settings(config: Config) -> Environment:
    """Write ``streamgauge.yaml`` for the children; changes of environment that make them use it.

    Variables that set configuration are removed: the file already holds what they said, and what
    this stack forces must win over them.
    """
    path = config.runtime.data_dir / SETTINGS_FILE
    secret_fields = {section: set(names) for section, names in _SECRETS.items()}
    values = config.model_dump(mode="json", exclude=secret_fields)
    path.write_text("# Generated at every start; edits are lost.\n" + yaml.safe_dump(values))
    changes: dict[str, str | None] = dict.fromkeys(filter(_sets_configuration, os.environ))
    changes[f"{_PREFIX}CONFIG"] = str(path)
    for section, names in _SECRETS.items():
        for name in names:
            secret: SecretStr = getattr(getattr(config, section), name)
            if secret.get_secret_value():
                changes[f"{_PREFIX}{section}__{name}".upper()] = secret.get_secret_value()
    return changes


def _sets_configuration(variable: str) -> bool:
    section = variable.upper().removeprefix(_PREFIX).split("__")[0].lower()
    return variable.upper().startswith(_PREFIX) and section in Config.model_fields


def _own_port(address: str, option: str) -> int:
    """Port of a loopback address. Raises :class:`StackError` for any other."""
    parts = urlsplit(address if "://" in address else f"tcp://{address}")
    if parts.hostname not in _LOOPBACK or not parts.port:
        raise StackError(
            f"{option} is {address}: the embedded stack serves on 127.0.0.1:PORT only "
            "(to use servers of your own, run `gateway` and `worker`)"
        )
    return parts.port


def _kept_secret(path: Path) -> str:
    """The secret kept in that file, made at the first call."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    with os.fdopen(handle, "w") as file:
        secret = secrets.token_hex(32)
        file.write(secret + "\n")
    return secret
