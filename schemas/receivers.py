"""Where alerts can go: what the configuration says of each kind of receiver."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag

from schemas.matchers import checked_matcher
from schemas.section import Section


class _ReceiverSection(Section):
    name: str = Field(description="label of metrics and logs")
    matchers: list[Annotated[str, AfterValidator(checked_matcher)]] = Field(
        default_factory=list,
        description='takes only alerts whose labels meet all, such as severity="page"',
    )
    timeout_s: float = Field(default=15.0, description="of one attempt")
    repeat_interval_s: float = Field(
        default=14_400.0, ge=0, description="an alert that still fires is told again; 0 = never"
    )
    give_up_s: float = Field(
        default=14_400.0,
        gt=0,
        description="a transition not taken for so long becomes a dead letter",
    )


class WebhookReceiver(_ReceiverSection):
    """A webhook that takes Alertmanager's v4 shape, signed as Standard Webhooks 1.0."""

    type: Literal["webhook"] = "webhook"
    url: str
    secret_file: Path | None = Field(default=None, description="whsec_... key; unsigned without it")


class AlertmanagerReceiver(_ReceiverSection):
    """An Alertmanager, or a cluster of them: it groups, silences and routes."""

    type: Literal["alertmanager"]
    urls: list[str] = Field(
        min_length=1, description="base URL of every peer, never of a balancer before them"
    )
    authorization_file: Path | None = Field(
        default=None, description="file with the Authorization header's value, such as Bearer ..."
    )
    repeat_s: float = Field(
        default=60.0,
        gt=0,
        description="between repetitions of open alerts; after four missed ones an alert ends",
    )


class PagerDutyReceiver(_ReceiverSection):
    """A PagerDuty service, by an Events API v2 integration: incidents open and resolve."""

    type: Literal["pagerduty"]
    repeat_interval_s: float = Field(
        default=0.0, ge=0, description="an incident that is open stays so without being told again"
    )
    routing_key_file: Path = Field(description="file with the integration's key")
    url: str = Field(
        default="https://events.pagerduty.com/v2/enqueue", description="of the EU: events.eu...."
    )


class SlackReceiver(_ReceiverSection):
    """A Slack channel, by an incoming webhook."""

    type: Literal["slack"]
    url_file: Path = Field(description="file with the webhook's URL, which is a secret")


class EmailReceiver(_ReceiverSection):
    """Addresses, by an SMTP server."""

    type: Literal["email"]
    host: str = Field(description="of the SMTP server")
    port: int = Field(default=587, ge=1, le=65_535)
    encryption: Literal["starttls", "tls", "none"] = Field(
        default="starttls", description="nothing is sent without it; none is for a server next door"
    )
    username: str = ""
    password_file: Path | None = None
    sender: str = Field(pattern=r".+@.+", description="address that it comes from")
    to: list[str] = Field(min_length=1, description="addresses that it goes to")


def _receiver_type(receiver: object) -> str:
    if isinstance(receiver, dict):
        return str(receiver.get("type", "webhook"))
    return str(getattr(receiver, "type", "webhook"))


Receiver = Annotated[
    Annotated[WebhookReceiver, Tag("webhook")]
    | Annotated[AlertmanagerReceiver, Tag("alertmanager")]
    | Annotated[PagerDutyReceiver, Tag("pagerduty")]
    | Annotated[SlackReceiver, Tag("slack")]
    | Annotated[EmailReceiver, Tag("email")],
    Discriminator(_receiver_type),
]
