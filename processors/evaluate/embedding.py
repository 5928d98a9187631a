"""Prompt embeddings for drift: of a sample of traces, through the active model's encoder.

What is embedded is the newest user message, redacted as all that models see. The embedding is
brought to length 1 and projected to :data:`DIMENSIONS` numbers by a matrix that never changes, so
that windows can hold moments of it. Which traces is a function of the trace id, the same on every
worker and every redelivery. Another encoder, or another projection, is another version: its rows
never mix with those before.
"""

import hashlib
import math
from collections.abc import Sequence
from functools import cache

import numpy as np

from processors.evaluate.context import Prepared
from processors.evaluate.deployed import Deployed
from processors.evaluate.graphs import F32
from schemas.evaluators import Target
from schemas.identity import text_hash
from schemas.records import Embedding, Operation

DIMENSIONS = 64
PROJECTION = "p1"
"""Name of the matrix, part of every version: change it with anything in :func:`projection`."""
KINDS = frozenset(("chat", "text_completion", "generate_content"))


@cache
def projection(width: int) -> F32:
    """float32[width, DIMENSIONS]: signs over sqrt(DIMENSIONS), which keep distances on average.

    Johnson and Lindenstrauss 1984, with signs by Achlioptas 2003. The signs are bits of SHAKE-256
    of the matrix's name: no library's random numbers, which may change with its version.
    """
    size = width * DIMENSIONS
    drawn = hashlib.shake_256(f"streamgauge {PROJECTION} {width}".encode()).digest(-(-size // 8))
    bits = np.unpackbits(np.frombuffer(drawn, np.uint8))[:size].astype(np.float32)
    return np.asarray((2 * bits - 1).reshape(width, DIMENSIONS) / math.sqrt(DIMENSIONS), np.float32)


def projected(embedding: F32) -> tuple[float, ...] | None:
    """An embedding [D] at length 1, as DIMENSIONS numbers; None of one without a length."""
    length = float(np.linalg.norm(embedding.astype(np.float64)))
    if not 0 < length < math.inf:
        return None
    vector = (embedding / np.float32(length)) @ projection(len(embedding))
    return tuple(float(value) for value in vector)


def sampled(trace_id: str, share: float) -> bool:
    """Whether a trace is in the sample."""
    return int(text_hash("embedding", trace_id)[:8], 16) / 2**32 < share


async def prompt_embedding(
    models: Sequence[Deployed], operation: Operation, prepared: Prepared
) -> Embedding | None:
    """The embedding of a call's newest user message.

    None of what is no call of a model, has no such message, or where the active model (the first of
    several) names no embedding.
    """
    call = operation.call
    prompts = [p.text for p in prepared.passages if p.target is Target.INPUT]
    if call.kind not in KINDS or call.rolls_up() or not prompts:
        return None
    active = (model.judge.engine for model in models if model.mode == "active")
    engine = next((engine for engine in active if engine.model.encoder), None)
    if engine is None or engine.model.encoder is None:
        return None
    embedding = await engine.embed(prompts[-1])
    vector = None if embedding is None else projected(embedding)
    if vector is None:
        return None
    version = engine.model.manifest.encoder_version(engine.model.encoder)
    return Embedding(
        tenant=operation.tenant,
        trace_id=operation.trace_id,
        span_id=operation.span_id,
        encoder=f"{version}-{PROJECTION}",
        revision=operation.revision,
        day=operation.day,
        vector=vector,
        span_end_ns=call.end_ns,
        service_name=call.service_name,
        environment=call.environment,
        model=call.response_model or call.request_model,
    )
