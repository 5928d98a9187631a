"""One typed configuration: a YAML file plus environment variables.

File: ``streamgauge.yaml`` in the working directory or the path in ``STREAMGAUGE_CONFIG``.
Environment overrides it: ``STREAMGAUGE_KAFKA__BOOTSTRAP_SERVERS=...`` (two underscores between
levels). Secrets come from environment or files only and are hidden when printed.
"""

import os
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

from schemas.inhibition import PIPELINE_UNHEALTHY, RULES_WAIT, InhibitRule
from schemas.intervals import SHIPPED
from schemas.privacy import PrivacyConfig
from schemas.receivers import HeartbeatReceiver, Receiver
from schemas.section import Section

MIB = 1 << 20
PACKAGE_ROOT = Path(__file__).resolve().parent.parent


class KafkaConfig(Section):
    """Connection and topic settings."""

    bootstrap_servers: str = Field(
        default="127.0.0.1:9092", description="host:port of some brokers, separated by commas"
    )
    client_id: str = Field(
        default="streamgauge", description="name in the brokers' logs and quotas"
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    sasl_username: str = ""
    sasl_password: SecretStr = SecretStr("")
    sasl_password_file: Path | None = Field(
        default=None, description="file with the password, read where sasl_password is not set"
    )
    ssl_cafile: Path | None = Field(
        default=None, description="PEM; the system's authorities without it"
    )
    ssl_certfile: Path | None = Field(default=None, description="PEM, for mutual TLS")
    ssl_keyfile: Path | None = Field(default=None, description="PEM, of ssl_certfile")
    session_timeout_s: float = Field(
        default=30.0, description="silence after which a worker's partitions move; 6 embedded"
    )
    idempotent_producer: bool = Field(
        default=True, description="retries write no duplicates; false on the embedded broker"
    )
    partitions: int = Field(
        default=8,
        ge=1,
        le=1024,
        description="of every topic; fixed for the life of .v1 once created",
    )
    replication_factor: int = Field(default=1, ge=1, description="3 in production")
    min_insync_replicas: int = Field(default=1, ge=1, description="2 in production")
    incarnation: str = Field(
        default="1", description="raise it when topics are re-created and offsets restart"
    )
    max_message_bytes: int = Field(default=8 * MIB, description="hard cap of one message")

    @model_validator(mode="after")
    def _credentials_are_whole(self) -> "KafkaConfig":
        if self.security_protocol.startswith("SASL_"):
            if not self.sasl_username:
                raise ValueError(f"{self.security_protocol} needs sasl_username")
            if not self.sasl_password.get_secret_value() and self.sasl_password_file is None:
                raise ValueError(
                    f"{self.security_protocol} needs sasl_password or sasl_password_file"
                )
        else:
            # Whoever sets these believes that the connection is authenticated.
            for name in ("sasl_username", "sasl_password", "sasl_password_file"):
                if getattr(self, name):
                    raise ValueError(
                        f"{name} is of no use with security_protocol {self.security_protocol}: "
                        "set SASL_SSL (or SASL_PLAINTEXT)"
                    )
        if self.ssl_keyfile is not None and self.ssl_certfile is None:
            raise ValueError("ssl_keyfile is of no use without ssl_certfile")
        return self


class ClickHouseConfig(Section):
    """The analyst's store, over HTTP."""

    url: str = Field(default="http://127.0.0.1:8123", description="https:// for TLS")
    username: str = "default"
    password: SecretStr = SecretStr("")
    password_file: Path | None = Field(
        default=None, description="file with the password, read where password is not set"
    )
    database: str = Field(default="default", description="created by migrate if missing")
    cluster: str = Field(
        default="",
        description="cluster that migrate makes replicated tables on; empty = a single server",
    )
    sharded: bool = Field(
        default=False, description="spread rows over the cluster's shards (Distributed tables)"
    )
    ca_file: Path | None = Field(
        default=None, description="PEM; the usual public authorities without it"
    )
    token: SecretStr = Field(
        default=SecretStr(""), description="product token of the embedded engine (sent as a header)"
    )
    insert_linger_s: float = Field(default=0.4, description="longest wait of a row for its insert")
    insert_rows: int = Field(default=20_000, description="most rows of one insert")
    insert_bytes: int = Field(default=64 * MIB, description="most bytes of one insert")

    @field_validator("url")
    @classmethod
    def _url_names_a_server(cls, url: str) -> str:
        """Else every insert would fail, for ever."""
        try:
            parts = urlsplit(url)
            known = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        except ValueError:  # of the port, or of brackets
            known = False
        if not known:
            raise ValueError("must be http:// or https:// with a host and, if any, its port")
        return url


class Quota(Section):
    """What one tenant may send to one gateway process; beyond it 429 with Retry-After."""

    bytes_per_s: int = Field(default=0, ge=0, description="after decompression; 0 = no limit")
    requests_per_s: int = Field(default=0, ge=0, description="0 = no limit")


class GatewayConfig(Section):
    """OTLP in."""

    host: str = Field(default="127.0.0.1", description="address to listen on")
    http_port: int = Field(default=4318, description="of OTLP/HTTP")
    grpc_port: int | None = Field(default=4317, description="of OTLP/gRPC; null turns it off")
    max_body_bytes: int = Field(
        default=64 * MIB, description="of one request, after decompression too"
    )
    grpc_message_bytes: int = Field(
        default=16 * MIB,
        description="of one request over gRPC, where that is less: gRPC reads messages whole",
    )
    inflight_bytes: int = Field(
        default=128 * MIB,
        description="of all requests; beyond it 503. With keys a tenant may hold half of it, or "
        "max_body_bytes where that is more",
    )
    linger_ms: int = Field(
        default=5, description="how long small exports of a tenant wait for company"
    )
    batch_bytes: int = Field(default=512 << 10, description="target size of a coalesced message")
    produce_deadline_s: float = Field(default=10.0, description="then 503 with Retry-After")
    quota: Quota = Field(default=Quota(), description="of each tenant that has none of its own")
    tenant_quotas: dict[str, Quota] = Field(default_factory=dict, description="quota by tenant")
    api_keys_file: Path | None = Field(
        default=None,
        description="YAML: list of {sha256, tenant}; without it only loopback is served",
    )
    ssl_certfile: Path | None = Field(
        default=None, description="PEM, with its chain: exports come by TLS only, HTTP and gRPC"
    )
    ssl_keyfile: Path | None = Field(default=None, description="PEM, of ssl_certfile, unencrypted")
    ssl_client_cafile: Path | None = Field(
        default=None,
        description="PEM: senders must show a certificate of one of these authorities (mutual TLS)",
    )

    @model_validator(mode="after")
    def _certificate_has_its_key(self) -> "GatewayConfig":
        if (self.ssl_certfile is None) != (self.ssl_keyfile is None):
            raise ValueError("ssl_certfile and ssl_keyfile go together")
        if self.ssl_client_cafile is not None and self.ssl_certfile is None:
            raise ValueError("ssl_client_cafile is of no use without ssl_certfile")
        return self


class PricesConfig(Section):
    """What calls cost."""

    file: Path | None = Field(
        default=None,
        description="YAML: own prices, ahead of the bundled ones (docs/cost.md)",
    )


class RuntimeConfig(Section):
    """How stages run."""

    runner: Literal["faust", "aiokafka"] = Field(
        default="faust", description="what feeds a stage; aiokafka is the control and exit route"
    )
    inflight_messages: int = Field(default=2048, description="of one worker, all partitions")
    inflight_bytes: int = Field(default=64 * MIB, description="of one worker, all partitions")
    linger_ms: int = Field(
        default=50, description="how long records wait for their partition's batch"
    )
    batch_bytes: int = Field(default=512 << 10, description="target size of a genai.* message")
    commit_interval_s: float = Field(default=1.0, description="between commits of offsets")
    drain_s: float = Field(default=5.0, description="wait for in-flight work on revoke or stop")
    stuck_s: float = Field(default=90.0, description="no progress with work available: exit")
    dead_letter_run_limit: int = Field(default=1000, description="dead letters in a row: halt")
    dead_letter_ratio_limit: float = Field(default=0.5, description="share of the last 2000: halt")
    metrics_host: str = Field(default="127.0.0.1", description="address of /ready and /metrics")
    metrics_base_port: int = Field(
        default=9464, description="the gateway's; embedded stages take the next ones in flow order"
    )
    data_dir: Path = Field(
        default=Path(".streamgauge"), description="embedded stack's files and logs"
    )


class AssembleConfig(Section):
    """Joining fragments."""

    log_grace_s: float = Field(default=10.0, description="longest wait for content in log records")
    evidence_grace_s: float = Field(default=1.0, description="longest wait for open retrieval")
    trace_idle_s: float = Field(default=120.0, description="then a trace is forgotten")
    trace_evidence_bytes: int = Field(default=2 * MIB, description="evidence kept per trace")
    evidence_bytes: int = Field(
        default=256 * MIB, description="evidence kept per process; embedded 64 MiB"
    )


class EvaluateConfig(Section):
    """The scoring engine."""

    models_dir: Path = Field(
        default=PACKAGE_ROOT / "models", description="one folder a model, beside the shipped ones"
    )
    model: str = Field(default="starter", description="folder of models_dir in use")
    deployments_file: Path = Field(
        default=Path(".streamgauge/deployments.yaml"),
        description="other models by task, active or shadow; read again when it changes",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="cuda refuses to start without a GPU; auto falls back to cpu"
    )
    threads: int = Field(default=0, ge=0, description="ONNX intra-op threads; 0 = physical cores")
    batch_tokens: int = Field(
        default=4096, description="token budget of one batch, padding included"
    )
    batch_deadline_ms: int = Field(default=20, description="longest wait of a text for its batch")
    max_pairs: int = Field(default=16, description="claim and evidence pairs of one operation")
    max_windows: int = Field(default=64, description="windows of one text; beyond it truncated")
    max_operation_chars: int = Field(
        default=256 << 10,
        ge=1,
        description="characters of one operation; beyond it its longest texts are truncated",
    )
    cache_entries: int = Field(default=20_000, description="scores of identical texts kept")
    embedding_share: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="share of traces whose prompts are embedded, for drift; 0 = none",
    )
    intervals_file: Path = Field(
        default=SHIPPED,
        description="YAML: safe interval of each evaluation by rules (docs/evaluations.md)",
    )
    canaries: list[str] = Field(
        default_factory=list,
        description="texts planted in system prompts: in an answer they are a leak",
    )


class WatchConfig(Section):
    """Alert rules and windows."""

    rules_file: Path = Field(
        default=PACKAGE_ROOT / "deploy" / "rules.yaml", description="YAML: groups of alert rules"
    )
    window_lateness_s: float = Field(
        default=120.0, ge=0, description="how long late rows are waited for before a window counts"
    )
    streams_per_tenant: int = Field(
        default=2000, ge=0, description="streams with windows of their own; the rest is other"
    )
    baseline: Literal["seasonal", "previous"] = Field(
        default="seasonal",
        description="what streams without a fixed baseline are compared with: hours of the last "
        "four weeks, or the last seven days",
    )
    false_alarm_days: float = Field(
        default=30.0, gt=0, description="days between false drift alarms of all streams of a tenant"
    )


class NotifyConfig(Section):
    """Where alerts go."""

    receivers: list[Receiver] = Field(
        default_factory=list, description="each gets every alert that its matchers take"
    )
    fallback: str = Field(
        default="",
        description="receiver that gets what no other takes, and hears of those that fail",
    )
    fallback_after_s: float = Field(
        default=600.0, gt=0, description="a receiver that took nothing for so long has failed"
    )

    inhibit: list[InhibitRule] = Field(
        default_factory=lambda: [PIPELINE_UNHEALTHY, RULES_WAIT],
        description="alerts that hold back others; Alertmanagers have rules of their own",
    )

    @model_validator(mode="after")
    def _names_are_there(self) -> Self:
        names = [receiver.name for receiver in self.receivers]
        if repeated := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"receivers: names repeat: {', '.join(sorted(repeated))}")
        if self.fallback and self.fallback not in names:
            raise ValueError(f"fallback: {self.fallback} is no receiver")
        beats = [one.name for one in self.receivers if isinstance(one, HeartbeatReceiver)]
        if self.fallback in beats:
            raise ValueError(f"fallback: {self.fallback} is a heartbeat, which takes no alerts")
        return self


class TelemetryConfig(Section):
    """Spans of our own, by OpenTelemetry: places, counts and outcomes, never content."""

    otlp_endpoint: str = Field(
        default="",
        pattern="^(https?://.+)?$",
        description="base URL of an OTLP/HTTP receiver; empty = off. Better another than ours",
    )
    sample_ratio: float = Field(default=0.01, ge=0, le=1, description="share of the work recorded")
    headers: SecretStr = Field(
        default=SecretStr(""), description="NAME=VALUE, separated by commas, for the receiver"
    )
    headers_file: Path | None = Field(
        default=None, description="file with the headers, read where headers is not set"
    )


OWN_GATEWAY_RATIO_MAX = 0.05
"""An export to our own gateway becomes a message and inserts of several stages: at a share of one
in twenty their spans are fewer than those exported, so that the echo dies out."""


class Config(BaseSettings):
    """Everything. See ``streamgauge config``."""

    model_config = SettingsConfigDict(
        env_prefix="STREAMGAUGE_", env_nested_delimiter="__", extra="forbid"
    )

    tenant: str = Field(
        default="default", description="tenant of the open topics and of loopback senders"
    )
    kafka: KafkaConfig = KafkaConfig()
    clickhouse: ClickHouseConfig = ClickHouseConfig()
    gateway: GatewayConfig = GatewayConfig()
    privacy: PrivacyConfig = PrivacyConfig()
    prices: PricesConfig = PricesConfig()
    runtime: RuntimeConfig = RuntimeConfig()
    assemble: AssembleConfig = AssembleConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    watch: WatchConfig = WatchConfig()
    notify: NotifyConfig = NotifyConfig()
    telemetry: TelemetryConfig = TelemetryConfig()

    @model_validator(mode="after")
    def _telemetry_makes_no_echo(self) -> "Config":
        url = urlsplit(self.telemetry.otlp_endpoint)
        ours = url.hostname in ("localhost", "127.0.0.1", "::1", self.gateway.host)
        if (
            ours
            and url.port == self.gateway.http_port
            and self.telemetry.sample_ratio > OWN_GATEWAY_RATIO_MAX
        ):
            raise ValueError(
                f"telemetry.otlp_endpoint is our own gateway: telemetry.sample_ratio must be at "
                f"most {OWN_GATEWAY_RATIO_MAX}, else each export calls for the next"
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment over file over defaults."""
        path = os.environ.get("STREAMGAUGE_CONFIG", "streamgauge.yaml")
        return (
            init_settings,
            env_settings,
            YamlConfigSettingsSource(settings_cls, yaml_file=path),
        )
