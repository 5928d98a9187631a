"""What people say of calls, verdicts and alerts: the body of ``POST /v1/feedback``."""

import math
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from schemas.identity import text_hash

COMMENT_MAX_CHARS = 4000
DAYS_BACK, DAYS_AHEAD = 400, 1
"""How far ``created_at`` may be from now: older rows are expired at once, later ones come from a
wrong clock and would stay for ever."""
OUT_OF_TIME = f"must be at most {DAYS_BACK} days ago and at most {DAYS_AHEAD} ahead"
NAME_MAX_CHARS = 256

Name = Annotated[str, Field(max_length=NAME_MAX_CHARS)]
Target = Literal["operation", "evaluation", "conversation", "alert"]


class Feedback(BaseModel):
    """One label. It names what it is about: a span, a response, a conversation or an alert.

    With ``evaluator`` it is about that verdict on the call, else about the call itself. Sent
    again for the same thing by the same author it replaces what was said before.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    label: str = Field(
        pattern=r"^[a-z][a-z0-9_-]{0,63}$",
        description="correct or incorrect of a verdict or an alert, good or bad of an answer, or "
        "a lower-case word of one's own",
    )
    trace_id: str = Field(default="", pattern=r"^([0-9a-f]{32})?$")
    span_id: str = Field(default="", pattern=r"^([0-9a-f]{16})?$")
    response_id: Name = Field(default="", description="gen_ai.response.id, where ids are not known")
    conversation_id: Name = ""
    evaluator: Name = Field(default="", description="the verdict's, where one is judged")
    alert_fingerprint: Name = ""
    value: float | None = Field(default=None, description="a rating on the sender's scale")
    comment: str = Field(default="", max_length=COMMENT_MAX_CHARS, description="stored redacted")
    author: Name = ""
    created_at: AwareDatetime | None = Field(default=None, description="RFC 3339; default now")
    feedback_id: Name = Field(default="", description="of one's own, to replace by it")

    @model_validator(mode="after")
    def _names_its_target(self) -> "Feedback":
        if bool(self.trace_id) != bool(self.span_id):
            raise ValueError("trace_id and span_id belong together")
        if not (self.span_id or self.response_id or self.conversation_id or self.alert_fingerprint):
            raise ValueError(
                "trace_id and span_id, response_id, conversation_id or alert_fingerprint is needed"
            )
        if self.value is not None and not math.isfinite(self.value):
            raise ValueError("value must be a finite number")
        return self

    @property
    def target(self) -> Target:
        """What is labelled."""
        if self.alert_fingerprint:
            return "alert"
        if self.evaluator:
            return "evaluation"
        return "operation" if self.span_id or self.response_id else "conversation"

    def identity(self, tenant: str) -> str:
        """The given id, else a hash of what is labelled and by whom."""
        # Labels of conversations were once called operations': their ids stay, so that a label
        # said again still replaces the stored one.
        target = "operation" if self.target == "conversation" else self.target
        return self.feedback_id or text_hash(
            tenant,
            target,
            self.trace_id,
            self.span_id,
            self.response_id,
            self.conversation_id,
            self.evaluator,
            self.alert_fingerprint,
            self.author,
        )

    def in_time(self, now_ns: int) -> bool:
        """Whether ``created_at`` is near enough to now to be kept; true without one."""
        if self.created_at is None:
            return True
        ahead = self.created_at - datetime.fromtimestamp(now_ns / 1e9, UTC)
        return -timedelta(days=DAYS_BACK) <= ahead <= timedelta(days=DAYS_AHEAD)

    def time_ns(self, now_ns: int) -> int:
        """When it was said, ns since 1970."""
        said: datetime | None = self.created_at
        return now_ns if said is None else int(said.timestamp() * 1_000_000) * 1000
