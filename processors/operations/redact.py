"""Masks personal data and secrets before content leaves the raw tier.

A found value becomes ``<EMAIL_K7QX>``: the entity and four base-32 characters of a keyed hash over
tenant, trace and normalised value, so that equal values stay equal within a trace, a changed value
shows, and nothing can be recovered without the key. Secrets of every kind become ``<SECRET_...>``.
No state. Fails closed: what cannot be redacted is withheld by the caller.
"""

import base64
import hashlib
import hmac
import logging

from processors.operations.detectors import detect
from schemas.config import Config
from schemas.records import Finding

log = logging.getLogger(__name__)

KEY_MIN_BYTES = 16
"""A shorter key could be guessed, and with it short values such as phone numbers."""

WITHHELD = "<WITHHELD_redaction_failed>"
"""Stands for an attribute that could not be redacted."""


class RedactionKeyError(ValueError):
    """No usable redaction key is configured; a stage that redacts must not start."""


def load_key(config: Config) -> bytes:
    """The redaction key from the configuration or its file.

    Raises :class:`RedactionKeyError` saying what to set; the text never holds the key.
    """
    key = config.privacy.redaction_key.get_secret_value().encode()
    path = config.privacy.redaction_key_file
    if not key and path is not None:
        try:
            key = path.read_bytes().strip()
        except OSError as error:
            raise RedactionKeyError(
                f"cannot read privacy.redaction_key_file {path}: {error.strerror}"
            ) from None
    if not key:
        raise RedactionKeyError(
            "no redaction key: set privacy.redaction_key_file (or the environment variable "
            "STREAMGAUGE_PRIVACY__REDACTION_KEY) to one secret shared by all workers"
        )
    if len(key) < KEY_MIN_BYTES:
        raise RedactionKeyError(f"the redaction key has {len(key)} bytes; at least {KEY_MIN_BYTES}")
    return key


class Redactor:
    """Replaces what the detectors find. Safe to share between tasks; holds only its key."""

    def __init__(self, key: bytes) -> None:
        if len(key) < KEY_MIN_BYTES:
            raise RedactionKeyError(f"the redaction key needs at least {KEY_MIN_BYTES} bytes")
        self._key = key

    def redact(self, text: str, tenant: str, trace_id: str, part: str) -> tuple[str, list[Finding]]:
        """The masked text and what was found in it.

        ``part`` is the path the findings carry (see ``Content``); their offsets are characters of
        the returned text.
        """
        hits = detect(text)
        if not hits:
            return text, []
        pieces: list[str] = []
        findings: list[Finding] = []
        read = written = 0
        for hit in hits:
            digest = self._digest(tenant, trace_id, hit.value)
            code = base64.b32encode(digest[:5])[:4].decode()
            placeholder = f"<{'SECRET' if hit.secret else hit.entity}_{code}>"
            before = text[read : hit.start]
            start = written + len(before)
            read, written = hit.end, start + len(placeholder)
            pieces += (before, placeholder)
            findings.append(
                Finding(
                    entity=hit.entity,
                    secret=hit.secret,
                    part=part,
                    hash=digest[:8].hex(),
                    start=start,
                    end=written,
                )
            )
        pieces.append(text[read:])
        return "".join(pieces), findings

    def redact_attribute(self, text: str, tenant: str, trace_id: str) -> str:
        """The masked text alone, or :data:`WITHHELD` if it could not be redacted."""
        try:
            return self.redact(text, tenant, trace_id, "")[0]
        except Exception as error:  # the privacy boundary: whatever went wrong, fail closed
            log.error("an attribute was withheld: redaction failed with %s", type(error).__name__)
            return WITHHELD

    def pseudonym(self, identifier: str, tenant: str) -> str:
        """A user's or conversation's id as it is, or, if it is or holds personal data, a keyed
        hash of it that is stable for the tenant, so that their calls can still be found."""
        if not identifier or self.redact_attribute(identifier, tenant, "") == identifier:
            return identifier
        return f"id_{self._digest(tenant, '', identifier)[:12].hex()}"

    def _digest(self, tenant: str, trace_id: str, value: str) -> bytes:
        message = "\x00".join((tenant, trace_id, value)).encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, message, hashlib.sha256)
