"""Identities, revisions and partitions: pure functions that every worker computes alike.

Golden vectors are in ``schemas/golden/identities.json``; other producers must match them.
"""

import hashlib
import zlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from schemas.evaluators import STATE_RANK, State

NS_PER_DAY = 86_400_000_000_000
NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
EPOCH_DAY = "1970-01-01"
"""Day of a row whose time cannot be trusted."""

START_PAST_LIMIT_NS = 30 * NS_PER_DAY
START_FUTURE_LIMIT_NS = NS_PER_DAY


def trace_partition(tenant: str, trace_id: str, partitions: int) -> int:
    """Partition of everything about one trace: CRC-32(tenant UTF-8 + 0x00 + raw trace id).

    ``trace_id`` is 32 lower-case hex characters. Raises ``ValueError`` if it is not hex.
    """
    return zlib.crc32(tenant.encode() + b"\x00" + bytes.fromhex(trace_id)) % partitions


def rule_partition(tenant: str, rule: str, partitions: int) -> int:
    """Partition that owns a rule: CRC-32(tenant UTF-8 + 0x00 + rule UTF-8)."""
    return zlib.crc32(tenant.encode() + b"\x00" + rule.encode()) % partitions


def fragment_id(signal: str, kind: str, trace_id: str, span_id: str, body: bytes) -> str:
    """16 hex characters that name a fragment by its bytes, never by its Kafka position.

    ``body`` is the serialised span or log record: a client's re-send of the same bytes is the
    same fragment, whatever message carries it.
    """
    digest = hashlib.blake2b(digest_size=8)
    for field in (signal, kind, trace_id, span_id):
        digest.update(field.encode())
        digest.update(b"\x00")
    digest.update(body)
    return digest.hexdigest()


def operation_revision(fragment_ids: Iterable[str]) -> int:
    """Revision of an operation: count of distinct fragments << 32 | low 32 bits of their XOR.

    The same knowledge gives the same number on any worker, more knowledge a higher one.
    """
    distinct = set(fragment_ids)
    folded = 0
    for identifier in distinct:
        folded ^= int(identifier, 16)
    return len(distinct) << 32 | folded & 0xFFFF_FFFF


def evaluation_revision(state: State, knowledge: int, scored_at_ns: int) -> int:
    """Revision (UInt64) of an evaluation: state rank << 62 | knowledge << 46 | ms since 1970.

    ``knowledge`` is the number of distinct fragments and evidence operations that fed the judged
    input, saturating at 16 bits. Milliseconds fit 46 bits until the year 4199.
    """
    return (
        STATE_RANK[state] << 62
        | min(knowledge, 0xFFFF) << 46
        | (scored_at_ns // NS_PER_MS) & 0x3FFF_FFFF_FFFF
    )


def span_day(start_ns: int, message_timestamp_ms: int) -> str:
    """UTC day (``YYYY-MM-DD``) of a span, judged against the raw message's Kafka timestamp.

    Starts outside -30 d to +1 d of it get 1970-01-01, so that one absurd clock cannot spread an
    insert over hundreds of partitions. The wall clock plays no part: a replay gives the same day.
    """
    reference_ns = message_timestamp_ms * NS_PER_MS
    if not -START_PAST_LIMIT_NS <= start_ns - reference_ns <= START_FUTURE_LIMIT_NS:
        return EPOCH_DAY
    return datetime.fromtimestamp(start_ns // NS_PER_S, UTC).strftime("%Y-%m-%d")


def text_hash(*texts: str) -> str:
    """32 hex characters over exact texts (with unambiguous boundaries)."""
    digest = hashlib.blake2b(digest_size=16)
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()


def signal_id(
    tenant: str, rule: str, rule_version: str, trace_id: str, span_id: str, evaluator: str
) -> str:
    """Identity of a fast-path hit; a higher revision of the verdict keeps it."""
    return text_hash(tenant, rule, rule_version, trace_id, span_id, evaluator)


def fingerprint(tenant: str, rule: str, labels: dict[str, str]) -> str:
    """Identity of an alert: tenant, rule and label set."""
    return text_hash(tenant, rule, *(f"{k}={v}" for k, v in sorted(labels.items())))


def transition_id(
    tenant: str, rule: str, rule_version: str, labels: dict[str, str], status: str, start_ns: int
) -> str:
    """Identity of an alert transition: two owners of a rule write the same one."""
    pairs = (f"{k}={v}" for k, v in sorted(labels.items()))
    return text_hash(tenant, rule, rule_version, status, str(start_ns), *pairs)


def stream_id(
    tenant: str,
    family: str,
    metric: str,
    judge: tuple[str, str],
    dimensions: str,
    labels: Mapping[str, str],
) -> str:
    """Identity of a stream of windows: 16 hex characters. ``judge`` is (evaluator, version)."""
    pairs = (f"{k}={v}" for k, v in sorted(labels.items()))
    return text_hash(tenant, family, metric, *judge, dimensions, *pairs)[:16]
