"""A real SMTP server on a loopback port that answers as it is told."""

import asyncio
import ssl
from email import message_from_bytes
from email.message import Message

LONGEST_BYTES = 4 << 20
STEPS = {"MAIL": "250 ok", "RCPT": "250 ok", "NOOP": "250 ok", "RSET": "250 ok", "HELO": "250 here"}


class SmtpServer:
    """``faults`` are used in turn, one a connection: (command, reply), or hang or close; then
    mail is taken. ``tls``: spoken from the first byte, or with ``starttls`` once asked for."""

    def __init__(
        self,
        *faults: tuple[str, str] | str,
        tls: ssl.SSLContext | None = None,
        starttls: ssl.SSLContext | None = None,
    ) -> None:
        self.faults = list(faults)
        self._tls, self._starttls = tls, starttls
        self.connections = 0
        self.messages: list[Message] = []
        self.port = 0
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> "SmtpServer":
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", 0, ssl=self._tls, limit=LONGEST_BYTES
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        fault = self.faults.pop(0) if self.faults else ("", "")
        if fault == "hang":
            await reader.read()
        elif fault != "close":
            await self._talk(reader, writer, dict([fault]) if isinstance(fault, tuple) else {})
        writer.close()

    async def _talk(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wrong: dict[str, str]
    ) -> None:
        writer.write(b"220 here\r\n")
        while line := await reader.readline():
            command = line.split()[0].upper().decode()
            if command in wrong:
                reply = wrong[command]
            elif command == "EHLO":
                reply = f"250-here\r\n250 {'STARTTLS' if self._starttls else '8BITMIME'}"
            elif command == "STARTTLS" and self._starttls:
                writer.write(b"220 go\r\n")
                try:
                    await writer.start_tls(self._starttls)
                except (OSError, ssl.SSLError):
                    return  # the other side does not trust us
                continue
            elif command == "DATA":
                writer.write(b"354 go\r\n")
                body = await reader.readuntil(b"\r\n.\r\n")
                reply = wrong.get("BODY", "250 taken")
                if reply.startswith("2"):
                    self.messages.append(message_from_bytes(body[:-5]))
            elif command == "QUIT":
                writer.write(b"221 bye\r\n")
                return
            else:
                reply = STEPS.get(command, "502 what")
            writer.write(f"{reply}\r\n".encode())
