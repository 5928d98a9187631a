"""Standard Webhooks 1.0 signatures (https://www.standardwebhooks.com).

A receiver checks ``webhook-signature`` against its copy of the key and drops what it has seen
under the same ``webhook-id``. Keys live in files only, one ``whsec_...`` a line: while a key is
rotated, both sign.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from pathlib import Path

SECRET_PREFIX = "whsec_"  # noqa: S105 - the public prefix of every key
KEY_BYTES = range(24, 65)


class SecretError(ValueError):
    """A key file cannot be used; the text names the file, never the key."""


def load_keys(path: Path) -> tuple[bytes, ...]:
    """Keys of a file, newest first. Raises :class:`SecretError`."""
    try:
        lines = path.read_text().split()
    except (OSError, UnicodeDecodeError) as error:
        raise SecretError(
            f"{path}: {type(error).__name__} (notify.receivers.secret_file)"
        ) from None
    if not lines:
        raise SecretError(f"{path} is empty; expected {SECRET_PREFIX} and base64 of 24 to 64 bytes")
    return tuple(_key(path, number, line) for number, line in enumerate(lines, start=1))


def signature_headers(
    keys: Sequence[bytes], message_id: str, timestamp_s: int, body: bytes
) -> dict[str, str]:
    """Headers of one attempt: the id stays over retries, the timestamp is the attempt's."""
    signed = f"{message_id}.{timestamp_s}.".encode() + body
    signatures = [
        "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() for key in keys
    ]
    headers = {"webhook-id": message_id, "webhook-timestamp": str(timestamp_s)}
    if signatures:
        headers["webhook-signature"] = " ".join(signatures)
    return headers


def _key(path: Path, number: int, line: str) -> bytes:
    expected = f"{path}: line {number}: expected {SECRET_PREFIX} and base64 of 24 to 64 bytes"
    if not line.startswith(SECRET_PREFIX):
        raise SecretError(expected)
    try:
        key = base64.b64decode(line.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error:
        raise SecretError(expected) from None
    if len(key) not in KEY_BYTES:
        raise SecretError(expected)
    return key
