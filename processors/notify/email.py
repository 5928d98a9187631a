"""E-mail by SMTP: one message a notification, an end as an answer to its beginning.

``Message-ID`` follows from alert, start and status, of a group from the notification's key, so that
a repeated delivery is the same message to whoever sorts by it; ``Auto-Submitted`` keeps holiday
replies away (RFC 3834). A 4xx of SMTP, a timeout and a broken connection are tried again, a 5xx is
a refusal. Without the encryption that is asked for, and a certificate for the server's name that
the machine trusts, nothing is sent.
"""

from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from html import escape

import aiosmtplib
from pydantic import SecretStr

from processors.notify.encoding import NS_PER_S
from processors.notify.notification import Evidence, Notification, headline
from processors.notify.posting import Answer, Channel
from processors.notify.wording import ALERTS_SHOWN, alert_texts, alert_title, facts, plain_text
from schemas.alert_records import AlertTransition
from schemas.protocols import Clock
from schemas.receivers import EmailReceiver
from schemas.secrets import readable, secret_text

SUBJECT_CHARS = 200
CID = "picture.streamgauge"
"""Right side of the pictures' content ids."""
PERMANENT = 500
"""SMTP's replies from here on are final."""


def message(notification: Notification, receiver: EmailReceiver, now_ns: int) -> EmailMessage:
    """One notification as a message with text and HTML. Pure."""
    found = EmailMessage()
    found["Subject"] = headline(notification)[:SUBJECT_CHARS]
    found["From"] = receiver.sender
    found["To"] = ", ".join(receiver.to)
    found["Date"] = format_datetime(datetime.fromtimestamp(now_ns // NS_PER_S, UTC))
    domain = receiver.sender.rpartition("@")[2].strip("> ") or "streamgauge"
    own, answered = _ids(notification)
    found["Message-ID"] = f"<{own}@{domain}>"
    if answered:
        found["In-Reply-To"] = found["References"] = f"<{answered}@{domain}>"
    found["Auto-Submitted"] = "auto-generated"
    parts = [
        (alert_title(one, notification), one) for one in notification.transitions[:ALERTS_SHOWN]
    ]
    more = len(notification.transitions) - len(parts)
    rest = f"\nand {more} more\n" if more else ""
    shown = {one.transition_id: notification.evidence_of(one) for _, one in parts}
    found.set_content(plain_text(notification))
    bodies = "".join(_html(title, one, shown[one.transition_id]) for title, one in parts)
    html = f"<h2>{escape(headline(notification))}</h2>{bodies}{escape(rest)}\n"
    found.add_alternative(html, subtype="html")
    *_, html_part = found.iter_parts()
    for mark, evidence in shown.items():
        if evidence.picture is not None:
            html_part.add_related(
                evidence.picture, "image", "png", cid=f"<{mark}@{CID}>", filename="alert.png",
                disposition="inline",
            )  # fmt: skip
    return found


def _ids(notification: Notification) -> tuple[str, str]:
    """Of the message, and of the one that it answers: a group's thread, an alert's beginning."""
    first = notification.first
    if notification.group is not None:
        return notification.key, notification.group_key
    begun = f"{first.fingerprint}.{first.starts_at_ns}.firing"
    if notification.reminder:
        return first.transition_id, begun
    if first.status == "resolved":
        return f"{first.fingerprint}.{first.starts_at_ns}.resolved", begun
    return begun, ""


def _html(title: str, transition: AlertTransition, shown: Evidence) -> str:
    """The same as HTML; what is in a text is shown, not obeyed."""
    rows = "".join(
        f"<tr><th align=left>{escape(name)}</th><td>{escape(value)}</td></tr>"
        for name, value in facts(transition).items()
    )
    said = "".join(
        (f"<h3>{escape(name)}</h3>" if name else "") + f"<p>{escape(text)}</p>"
        for name, text in alert_texts(transition, shown)
    )
    if shown.picture is not None:
        said = f'<p><img src="cid:{transition.transition_id}@{CID}" alt="series"></p>{said}'
    return (f"<h2>{escape(title)}</h2>" if title else "") + f"<table>{rows}</table>{said}"


class EmailSender:
    """Delivers to one list of addresses. Made in a running event loop; closed by its owner."""

    def __init__(self, receiver: EmailReceiver, clock: Clock) -> None:
        """Reads the password file and looks at the authorities'. Raises ``SecretFileError``."""
        self.name = receiver.name
        self._receiver = receiver
        self._clock = clock
        key = f"notify.receivers.{receiver.name}."
        password = secret_text(SecretStr(""), receiver.password_file, key + "password_file")
        self._password = password.strip()
        self._authorities = readable(receiver.ca_file, key + "ca_file")
        self._channel = Channel(receiver.name, receiver.timeout_s, clock, receiver.give_up_s)

    async def close(self) -> None:
        """Close connections."""
        await self._channel.close()

    async def deliver(self, notification: Notification) -> int:
        """Ends once the server took it; how many attempts it took. Raises ``Undelivered``."""

        async def attempt() -> Answer:
            return await self._send(message(notification, self._receiver, self._clock.time_ns()))

        return await self._channel.until_taken(attempt)

    async def _send(self, said: EmailMessage) -> Answer:
        receiver = self._receiver
        try:
            await aiosmtplib.send(
                said,
                hostname=receiver.host,
                port=receiver.port,
                username=receiver.username or None,
                password=self._password or None,
                timeout=receiver.timeout_s,
                use_tls=receiver.encryption == "tls",
                start_tls=receiver.encryption == "starttls",
                cert_bundle=self._authorities,
            )
        except aiosmtplib.SMTPRecipientsRefused as error:
            codes = [refused.code for refused in error.recipients]
            return _of_code(min(codes, default=PERMANENT))
        except aiosmtplib.SMTPResponseException as error:
            return _of_code(error.code)
        except TimeoutError:
            return Answer("timed_out")
        except (aiosmtplib.SMTPException, OSError):
            return Answer("unreachable")
        return Answer("delivered")


def _of_code(code: int) -> Answer:
    return Answer("refused") if code >= PERMANENT else Answer(f"smtp_{code}")
