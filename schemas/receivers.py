"""Where alerts can go: what the configuration says of each kind of receiver."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from schemas.matchers import checked_matcher
from schemas.section import Section

LABEL_NAME = r"^[a-zA-Z_][a-zA-Z0-9_]*$"


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

    @property
    def grouping(self) -> "Grouping | None":
        """None where each alert is told by itself."""
        return None


@dataclass(frozen=True, slots=True)
class Grouping:
    """Which alerts a receiver is told of together, and how long they wait for each other."""

    names: tuple[str, ...]
    wait_s: float
    interval_s: float


class _PeopleSection(_ReceiverSection):
    """What ``notify`` itself groups and shows, since the receiver does not."""

    group_by: list[Annotated[str, Field(pattern=LABEL_NAME)]] | None = Field(
        default=None,
        description="alerts with the same values of these labels are told together, [] all of a "
        "tenant; left out, each by itself and at once",
    )
    group_wait_s: float = Field(
        default=30.0, ge=0, le=600, description="how long a group's first alert waits for others"
    )
    group_interval_s: float = Field(
        default=300.0, ge=0, le=3600, description="between two notifications of a group, at least"
    )

    include_excerpts: bool = Field(
        default=False,
        description="alerts show redacted excerpts of flagged texts, at most 200 characters each",
    )

    @model_validator(mode="after")
    def _times_are_of_groups(self) -> Self:
        # By value: a configuration that is handed on says its defaults too.
        fields = type(self).model_fields
        times = ("group_wait_s", "group_interval_s")
        given = [name for name in times if getattr(self, name) != fields[name].default]
        if self.group_by is None and given:
            raise ValueError(f"{given[0]}: needs group_by")
        return self

    @property
    def grouping(self) -> Grouping | None:
        """None where each alert is told by itself."""
        if self.group_by is None:
            return None
        return Grouping(tuple(self.group_by), self.group_wait_s, self.group_interval_s)


class WebhookReceiver(_PeopleSection):
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


class PagerDutyReceiver(_PeopleSection):
    """A PagerDuty service, by an Events API v2 integration: incidents open and resolve."""

    type: Literal["pagerduty"]
    repeat_interval_s: float = Field(
        default=0.0, ge=0, description="an incident that is open stays so without being told again"
    )
    routing_key_file: Path = Field(description="file with the integration's key")
    url: str = Field(
        default="https://events.pagerduty.com/v2/enqueue", description="of the EU: events.eu...."
    )


class SlackReceiver(_PeopleSection):
    """A Slack channel, by an incoming webhook."""

    type: Literal["slack"]
    url_file: Path = Field(description="file with the webhook's URL, which is a secret")


class EmailReceiver(_PeopleSection):
    """Addresses, by an SMTP server."""

    type: Literal["email"]
    host: str = Field(description="of the SMTP server")
    port: int = Field(default=587, ge=1, le=65_535)
    encryption: Literal["starttls", "tls", "none"] = Field(
        default="starttls", description="nothing is sent without it; none is for a server next door"
    )
    ca_file: Path | None = Field(
        default=None, description="PEM of the authorities trusted for it; the system's if not set"
    )
    username: str = ""
    password_file: Path | None = None
    sender: str = Field(pattern=r".+@.+", description="address that it comes from")
    to: list[str] = Field(min_length=1, description="addresses that it goes to")
    include_picture: bool = Field(
        default=True,
        description="alerts show their series with its baseline; needs the extra pictures",
    )


class AppriseReceiver(_PeopleSection):
    """Whatever Apprise can reach, by its URLs; needs the extra apprise."""

    type: Literal["apprise"]
    urls_file: Path = Field(description="file with Apprise URLs, one a line, which are secrets")
    timeout_s: float = Field(default=30.0, description="of one attempt at one URL")


class HeartbeatReceiver(_ReceiverSection):
    """A dead man's switch, such as healthchecks.io: it hears once a minute that alerts work."""

    type: Literal["heartbeat"]
    url_file: Path = Field(description="file with the URL to ping, which is a secret")
    method: Literal["POST", "GET"] = "POST"
    give_up_s: float = Field(
        default=40.0, gt=0, le=60, description="a ping not taken for so long is left to the next"
    )


def _receiver_type(receiver: object) -> str:
    if isinstance(receiver, dict):
        return str(receiver.get("type", "webhook"))
    return str(getattr(receiver, "type", "webhook"))


Receiver = Annotated[
    Annotated[WebhookReceiver, Tag("webhook")]
    | Annotated[AlertmanagerReceiver, Tag("alertmanager")]
    | Annotated[PagerDutyReceiver, Tag("pagerduty")]
    | Annotated[SlackReceiver, Tag("slack")]
    | Annotated[EmailReceiver, Tag("email")]
    | Annotated[AppriseReceiver, Tag("apprise")]
    | Annotated[HeartbeatReceiver, Tag("heartbeat")],
    Discriminator(_receiver_type),
]
