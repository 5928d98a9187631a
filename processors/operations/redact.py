"""Masks personal data and secrets before content leaves the raw tier.

A found value becomes ``<EMAIL_K7QX>``: the entity and four base-32 characters of a keyed hash over
tenant, trace and normalised value, so that equal values stay equal within a trace, a changed value
shows, and nothing can be recovered without the key. Secrets of every kind become ``<SECRET_...>``.
The tenant's policy may ask for more or less than that. No state. Fails closed: what cannot be
redacted is withheld by the caller.
"""

import base64
import hashlib
import hmac
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from processors.operations.detectors import Hit, detect
from processors.operations.literals import breaks_json, quotes_for, with_sign, zeroed
from processors.operations.names import NameFinder
from schemas.config import Config
from schemas.privacy import SECRETS, Entity, PolicyConfig, PrivacyConfig
from schemas.records import Finding

log = logging.getLogger(__name__)

_DOT_AFTER_WORD = re.compile(r"(?<=[A-Za-z_])\.")

KEY_MIN_BYTES = 16
"""A shorter key could be guessed, and with it short values such as phone numbers."""

PLAIN_KEPT = 65_536
SHORT_CHARS = 64
"""A longer text is remembered by its hash."""

WITHHELD = "<WITHHELD_redaction_failed>"
"""Stands for an attribute that could not be redacted."""


WITHHELD_BY_POLICY = "<WITHHELD_by_policy>"
"""Stands for an attribute with an entity that the tenant's policy drops."""


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


@dataclass(frozen=True, slots=True)
class _Piece:
    """A hit and what stands for it; ``quotes`` around it keep code parseable."""

    hit: Hit
    digest: bytes
    text: str
    quotes: str = ""


class Redactor:
    """Replaces what the detectors find, by the tenant's policy. Safe to share between threads."""

    def __init__(
        self,
        key: bytes,
        privacy: PrivacyConfig | None = None,
        names: NameFinder | None = None,
    ) -> None:
        if len(key) < KEY_MIN_BYTES:
            raise RedactionKeyError(f"the redaction key needs at least {KEY_MIN_BYTES} bytes")
        self._key = key
        self._privacy = privacy or PrivacyConfig()
        self._names = names
        self._policies: dict[str, PolicyConfig] = {}
        self._plain: set[str | bytes] = set()

    @classmethod
    def of(cls, config: Config) -> "Redactor":
        """The redactor of a stage. Raises if the key or the model of names cannot be used."""
        names = NameFinder.of(config)
        return cls(load_key(config), config.privacy, names)

    def redact(
        self, text: str, tenant: str, trace_id: str, part: str, *, may_keep: bool = True
    ) -> tuple[str, list[Finding]]:
        """The text as the tenant's ``score`` policy has it, and what was found in it.

        ``part`` is the path the findings carry (see ``Content``); their offsets are characters of
        the returned text. Without ``may_keep`` every value is replaced: the store cannot do it
        later where it gets no findings.
        """

        def action(entity: Entity) -> str:
            wanted = self._policy(tenant).score.get(entity, "placeholder")
            return wanted if may_keep or wanted != "keep" else "placeholder"

        hits = self._hits(text)
        if not hits:
            return text, []
        masked, pieces = self._replaced(text, hits, tenant, trace_id, action)
        findings = [
            Finding(
                entity=piece.hit.entity,
                secret=piece.hit.entity in SECRETS,
                part=part,
                hash=piece.digest[:8].hex(),
                start=start,
                end=start + len(piece.text),
            )
            for start, piece in pieces
        ]
        return masked, findings

    def redact_attribute(self, text: str, tenant: str, trace_id: str, key: str = "") -> str:
        """The text as both scopes of the policy have it: for what is stored as it travels.

        The attribute's ``key`` may tell what the text alone does not (``user.phone``). The result
        is :data:`WITHHELD` if it could not be redacted.
        """
        if key:
            told = f"{key}: "
            masked = self._attribute(told + text, tenant, trace_id)
            if masked.startswith(told):
                return masked[len(told) :]
            if masked in (WITHHELD, WITHHELD_BY_POLICY):
                return masked
        return self._attribute(text, tenant, trace_id)

    def _attribute(self, text: str, tenant: str, trace_id: str) -> str:
        try:
            hits = self._hits(text)
            return self._replaced_by_both(text, hits, tenant, trace_id) if hits else text
        except Exception as error:  # the privacy boundary: whatever went wrong, fail closed
            log.error("an attribute was withheld: redaction failed with %s", type(error).__name__)
            return WITHHELD

    def _replaced_by_both(self, text: str, hits: Sequence[Hit], tenant: str, trace_id: str) -> str:
        """The text as the stricter of both scopes has each entity."""
        policy = self._policy(tenant)
        dropped = False

        def action(entity: Entity) -> str:
            nonlocal dropped
            score = policy.score.get(entity, "placeholder")
            store = policy.store.get(entity, "keep")
            dropped = dropped or store == "drop"
            if "mask" in (score, store):
                return "mask"
            return "placeholder" if store == "hash" else score

        masked = self._replaced(text, hits, tenant, trace_id, action)[0]
        return WITHHELD_BY_POLICY if dropped else masked

    def _hits(self, text: str) -> Sequence[Hit]:
        """What is found in a text. One without hits is looked at once: names and ids are the same
        in span after span, instructions, tools and earlier messages in call after call."""
        known = text if len(text) <= SHORT_CHARS else _hash(text)
        if known in self._plain:
            return ()
        hits = detect(text, self._names.find(text) if self._names else ())
        if not hits:
            if len(self._plain) >= PLAIN_KEPT:
                self._plain.clear()
            self._plain.add(known)
        return hits

    def redact_key(self, key: str, tenant: str, trace_id: str) -> str:
        """An attribute's key, or the name of a field, in which a value may stand after a dot."""
        masked = self._attribute(key, tenant, trace_id)
        if "." not in masked:
            return masked
        spaced = _DOT_AFTER_WORD.sub(" ", masked)
        again = self._attribute(spaced, tenant, trace_id)
        return masked if again == spaced else again

    def pseudonym(self, identifier: str, tenant: str) -> str:
        """A user's or conversation's id as it is, or, if it is or holds personal data, a keyed
        hash of it that is stable for the tenant, so that their calls can still be found."""
        if not identifier or self.redact_attribute(identifier, tenant, "") == identifier:
            return identifier
        return f"id_{self._digest(tenant, '', identifier)[:12].hex()}"

    def _policy(self, tenant: str) -> PolicyConfig:
        known = self._policies.get(tenant)
        if known is None:
            known = self._policies[tenant] = self._privacy.policy_of(tenant)
        return known

    def _replaced(
        self,
        text: str,
        hits: Sequence[Hit],
        tenant: str,
        trace_id: str,
        action: Callable[[Entity], str],
    ) -> tuple[str, list[tuple[int, _Piece]]]:
        """The new text, and its pieces with where each begins in it."""
        pieces = [self._piece(text, hit, tenant, trace_id, action(hit.entity)) for hit in hits]
        placed = _placed(text, pieces)
        if any(piece.quotes for piece in pieces) and breaks_json(text, placed[0]):
            zeros = [
                _Piece(p.hit, p.digest, zeroed(text[p.hit.start : p.hit.end])) if p.quotes else p
                for p in pieces
            ]
            placed = _placed(text, zeros)
        return placed

    def _piece(self, text: str, hit: Hit, tenant: str, trace_id: str, action: str) -> _Piece:
        digest = self._digest(tenant, trace_id, hit.value)
        if action == "keep":
            return _Piece(hit, digest, text[hit.start : hit.end])
        hit = hit._replace(start=with_sign(text, hit.start, hit.end))
        label = "SECRET" if hit.entity in SECRETS else hit.entity
        code = "" if action == "mask" else "_" + base64.b32encode(digest[:5])[:4].decode()
        return _Piece(hit, digest, f"<{label}{code}>", quotes_for(text, hit.start, hit.end))

    def _digest(self, tenant: str, trace_id: str, value: str) -> bytes:
        message = "\x00".join((tenant, trace_id, value)).encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, message, hashlib.sha256)


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _placed(text: str, pieces: list[_Piece]) -> tuple[str, list[tuple[int, _Piece]]]:
    parts: list[str] = []
    placed: list[tuple[int, _Piece]] = []
    read = written = 0
    for piece in pieces:
        before = text[read : piece.hit.start] + piece.quotes
        placed.append((written + len(before), piece))
        parts += (before, piece.text, piece.quotes)
        written += len(before) + len(piece.text) + len(piece.quotes)
        read = piece.hit.end
    parts.append(text[read:])
    return "".join(parts), placed
