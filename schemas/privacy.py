"""What counts as personal data and secrets, and what may become of it: the one list.

Every entity has an action in two scopes. ``score`` decides what the topics carry, so what models
judge; ``store`` what tables keep of that. Settings name entities and actions by these names; an
unknown one is refused at the start.
"""

from enum import StrEnum
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from schemas.section import Section


class Entity(StrEnum):
    """Kinds of personal data and secrets."""

    EMAIL = "EMAIL"
    PHONE = "PHONE"
    CARD = "CARD"
    IBAN = "IBAN"
    IP = "IP"
    MAC = "MAC"
    NATIONAL_ID = "NATIONAL_ID"
    PERSON = "PERSON"
    ADDRESS = "ADDRESS"
    API_KEY = "API_KEY"
    JWT = "JWT"
    PRIVATE_KEY = "PRIVATE_KEY"
    PASSWORD = "PASSWORD"  # noqa: S105 - a kind, not one
    HIGH_ENTROPY = "HIGH_ENTROPY"


SECRETS = frozenset(
    (Entity.API_KEY, Entity.JWT, Entity.PRIVATE_KEY, Entity.PASSWORD, Entity.HIGH_ENTROPY)
)
"""Their placeholders do not say which of these a value was."""

FINDINGS_MAX = 1000
"""Findings carried of one span; what is beyond is masked all the same."""

ScoreAction = Literal["placeholder", "mask", "keep"]
StoreAction = Literal["keep", "hash", "mask", "drop"]


class PolicyConfig(Section):
    """What becomes of each entity. What is not named: ``placeholder`` in topics, kept so."""

    score: dict[Entity, ScoreAction] = Field(
        default_factory=dict,
        description="topics: entity to placeholder (`<EMAIL_K7QX>`, equal values stay equal within "
        "a trace), mask (`<EMAIL>`) or keep (as it was; no secret may be kept)",
    )
    store: dict[Entity, StoreAction] = Field(
        default_factory=dict,
        description="tables: entity to keep (as the topics carry it), hash (the placeholder), mask "
        "(asterisks in its place) or drop (a text with one is not stored)",
    )
    content: Literal["keep", "drop"] | None = Field(
        default=None, description="drop: texts are judged and never stored; null: keep"
    )

    @model_validator(mode="after")
    def _secrets_are_never_kept(self) -> Self:
        kept = sorted(e for e, action in self.score.items() if action == "keep" and e in SECRETS)
        if kept:
            raise ValueError(
                f"score: {', '.join(kept)}: a secret cannot be kept; use placeholder or mask"
            )
        return self


class PrivacyConfig(Section):
    """Redaction."""

    redaction_key: SecretStr = Field(
        default=SecretStr(""),
        description="one secret shared by all workers; placeholders are keyed with it",
    )
    redaction_key_file: Path | None = Field(
        default=None, description="file with the key, read where redaction_key is not set"
    )
    names_model: Path | None = Field(
        default=None,
        description="folder of an ONNX model that finds names and addresses; null: not looked for",
    )
    policy: PolicyConfig = Field(
        default=PolicyConfig(), description="of every tenant that has none of its own"
    )
    tenant_policies: dict[str, PolicyConfig] = Field(
        default_factory=dict,
        description="policy by tenant; what it leaves out is as in privacy.policy",
    )

    def policy_of(self, tenant: str) -> PolicyConfig:
        """The tenant's policy over the general one."""
        general, own = self.policy, self.tenant_policies.get(tenant)
        if own is None:
            return general
        return PolicyConfig(
            score=general.score | own.score,
            store=general.store | own.store,
            content=own.content or general.content,
        )
