"""E-mail by SMTP: one message a transition, the end as an answer to the beginning.

``Message-ID`` follows from alert, start and status, so that a repeated delivery is the same message
to whoever sorts by it; ``Auto-Submitted`` keeps holiday replies away (RFC 3834). A 4xx of SMTP, a
timeout and a broken connection are tried again, a 5xx is a refusal. Without the encryption that is
asked for nothing is sent.
"""

from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from html import escape

import aiosmtplib
from pydantic import SecretStr

from processors.notify.encoding import NS_PER_S
from processors.notify.posting import Answer, Channel
from processors.notify.wording import facts, headline, paragraphs
from schemas.alert_records import AlertTransition
from schemas.protocols import Clock
from schemas.receivers import EmailReceiver
from schemas.secrets import secret_text

SUBJECT_CHARS = 200
PERMANENT = 500
"""SMTP's replies from here on are final."""


def message(transition: AlertTransition, receiver: EmailReceiver, now_ns: int) -> EmailMessage:
    """One transition as a message with text and HTML. Pure."""
    found = EmailMessage()
    found["Subject"] = headline(transition)[:SUBJECT_CHARS]
    found["From"] = receiver.sender
    found["To"] = ", ".join(receiver.to)
    found["Date"] = format_datetime(datetime.fromtimestamp(now_ns // NS_PER_S, UTC))
    found["Message-ID"] = _message_id(transition, transition.status, receiver)
    if transition.status == "resolved":
        begun = _message_id(transition, "firing", receiver)
        found["In-Reply-To"] = begun
        found["References"] = begun
    found["Auto-Submitted"] = "auto-generated"
    lines = [f"{name}: {value}" for name, value in facts(transition).items()]
    texts = paragraphs(transition) if transition.status == "firing" else []
    said = [(f"{title}\n{text}" if title else text) for title, text in texts]
    found.set_content("\n\n".join(["\n".join(lines), *said]) + "\n")
    found.add_alternative(_html(transition, texts), subtype="html")
    return found


class EmailSender:
    """Delivers to one list of addresses. Made in a running event loop; closed by its owner."""

    def __init__(self, receiver: EmailReceiver, clock: Clock) -> None:
        """Reads the password file. Raises ``SecretFileError``."""
        self.name = receiver.name
        self._receiver = receiver
        self._clock = clock
        key = f"notify.receivers.{receiver.name}.password_file"
        self._password = secret_text(SecretStr(""), receiver.password_file, key).strip()
        self._channel = Channel(receiver.name, receiver.timeout_s, clock, receiver.give_up_s)

    async def close(self) -> None:
        """Close connections."""
        await self._channel.close()

    async def deliver(self, transition: AlertTransition) -> int:
        """Ends once the server took it; how many attempts it took. Raises ``Undelivered``."""

        async def attempt() -> Answer:
            return await self._send(message(transition, self._receiver, self._clock.time_ns()))

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


def _message_id(transition: AlertTransition, status: str, receiver: EmailReceiver) -> str:
    domain = receiver.sender.rpartition("@")[2].strip("> ") or "streamgauge"
    return f"<{transition.fingerprint}.{transition.starts_at_ns}.{status}@{domain}>"


def _html(transition: AlertTransition, texts: list[tuple[str, str]]) -> str:
    """The same as HTML; what is in a text is shown, not obeyed."""
    rows = "".join(
        f"<tr><th align=left>{escape(name)}</th><td>{escape(value)}</td></tr>"
        for name, value in facts(transition).items()
    )
    said = "".join(
        (f"<h3>{escape(title)}</h3>" if title else "") + f"<p>{escape(text)}</p>"
        for title, text in texts
    )
    return f"<h2>{escape(headline(transition))}</h2><table>{rows}</table>{said}\n"
