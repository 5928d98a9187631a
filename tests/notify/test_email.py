"""E-mail to a real local SMTP server: what is sent, what is tried again, what is refused."""

import ssl
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from processors.notify.email import message as email_of
from processors.notify.notification import alone
from processors.runtime.memory import MemoryOutputs
from schemas.receivers import EmailReceiver
from schemas.secrets import SecretFileError
from tests.notify.smtp import SmtpServer
from tests.notify.test_encoding import transition
from tests.notify.test_stage import message, started

GOLDEN = Path(__file__).parent / "golden"
TLS = Path(__file__).resolve().parents[1] / "deploy" / "tls"
UNNAMED = "0.0.0.0"  # noqa: S104 - reaches the local server under a name it has no certificate for
NOW_NS = 1_767_225_960 * 1_000_000_000


def receiver(port: int = 25, **changes: object) -> EmailReceiver:
    return EmailReceiver.model_validate(
        {
            "name": "mail", "type": "email", "host": "127.0.0.1", "port": port,
            "encryption": "none", "timeout_s": 0.5, "sender": "Alerts <alerts@example.com>",
            "to": ["ann@example.com", "ben@example.com"], **changes,
        }
    )  # fmt: skip


def plain(said: EmailMessage) -> str:
    """Headers and both bodies, without the boundary that is made up each time."""
    kept = ("Subject", "From", "To", "Date", "Message-ID", "In-Reply-To", "References",
            "Auto-Submitted")  # fmt: skip
    headers = [f"{name}: {said[name]}" for name in kept if said[name]]
    bodies = [part.get_content() for part in said.iter_parts()]
    return "\n".join(headers) + "\n\n" + "----\n".join(bodies)


@pytest.mark.parametrize("status", ["firing", "resolved"])
def test_a_message_is_as_it_was(status: str) -> None:
    texts = {
        "summary": "Prompt <b>injection</b> against sh\u00f6p",
        "description": "A prompt scored high.",
        "first_steps": "1. Read it. 2. Block it. 3. Tune.",
        "runbook_url": "docs/runbooks/PromptInjection.md",
    }
    said = email_of(alone(transition(1, status, annotations=texts)), receiver(), NOW_NS)
    assert plain(said) == (GOLDEN / f"email_{status}.txt").read_text()


async def test_a_message_reaches_every_address_and_the_end_answers_the_beginning() -> None:
    async with SmtpServer() as server, started(receiver(server.port)) as stage:
        await stage.process(message(transition(1)))
        await stage.process(message(transition(2, "resolved")))
    first, second = server.messages
    assert first["To"] == "ann@example.com, ben@example.com"
    assert second["In-Reply-To"] == first["Message-ID"]
    assert first["Auto-Submitted"] == "auto-generated"


@pytest.mark.parametrize(
    "fault",
    [("MAIL", "451 later"), ("RCPT", "450 busy"), ("BODY", "452 full"), "hang", "close"],
)
async def test_what_may_pass_is_tried_again(fault: tuple[str, str] | str) -> None:
    async with SmtpServer(fault) as server:
        outputs = MemoryOutputs()
        async with started(receiver(server.port), outputs=outputs) as stage:
            await stage.process(message(transition(1)))
        assert (server.connections, len(server.messages)) == (2, 1)
        assert outputs.letters == []


@pytest.mark.parametrize("fault", [("MAIL", "550 no"), ("RCPT", "550 who"), ("BODY", "554 spam")])
async def test_a_refusal_is_a_dead_letter(fault: tuple[str, str]) -> None:
    async with SmtpServer(fault) as server:
        outputs = MemoryOutputs()
        async with started(receiver(server.port), outputs=outputs) as stage:
            await stage.process(message(transition(1)))
        assert (server.connections, server.messages) == (1, [])
        assert [letter.reason for letter in outputs.letters] == ["receiver_refused"]


@pytest.mark.parametrize("encryption", ["starttls", "tls"])
async def test_nothing_is_sent_without_the_encryption_asked_for(encryption: str) -> None:
    async with SmtpServer() as server:
        outputs = MemoryOutputs()
        mail = receiver(server.port, encryption=encryption, give_up_s=5)
        async with started(mail, outputs=outputs) as stage:
            await stage.process(message(transition(1)))
        assert server.messages == []
        assert [letter.reason for letter in outputs.letters] == ["receiver_away"]


def served(encryption: str) -> dict[str, Any]:
    """Settings of a server that shows a certificate for localhost and 127.0.0.1."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(TLS / "server.pem", TLS / "server.key")
    return {encryption: context}


@pytest.mark.parametrize("encryption", ["starttls", "tls"])
@pytest.mark.parametrize(
    ("host", "authority"),
    [("127.0.0.1", None), ("127.0.0.1", "other-ca.pem"), (UNNAMED, "ca.pem")],
    ids=["unknown authority", "another authority", "another name"],
)
async def test_a_wrong_certificate_is_tried_again_given_up_and_shown_nothing(
    encryption: str, host: str, authority: str | None
) -> None:
    async with SmtpServer(**served(encryption)) as server:
        outputs = MemoryOutputs()
        trusted = None if authority is None else TLS / authority
        mail = receiver(
            server.port, host=host, encryption=encryption, ca_file=trusted, give_up_s=5, timeout_s=5
        )
        async with started(mail, outputs=outputs) as stage:
            await stage.process(message(transition(1)))
        assert server.messages == []
        assert [letter.reason for letter in outputs.letters] == ["receiver_away"]


@pytest.mark.parametrize("encryption", ["starttls", "tls"])
async def test_the_right_certificate_is_taken(encryption: str) -> None:
    async with SmtpServer(**served(encryption)) as server:
        mail = receiver(server.port, encryption=encryption, ca_file=TLS / "ca.pem", timeout_s=5)
        async with started(mail) as stage:
            await stage.process(message(transition(1)))
        assert len(server.messages) == 1


async def test_a_missing_file_of_authorities_is_named(tmp_path: Path) -> None:
    with pytest.raises(SecretFileError, match=r"notify\.receivers\.mail\.ca_file"):
        async with started(receiver(ca_file=tmp_path / "absent")):
            pass
