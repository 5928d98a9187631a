"""Searches of vector databases, as OpenLLMetry, OpenLIT and database conventions write them.

Hits are documents: in span events one each, or in one attribute. Other statements of the same
databases (adding, deleting) are no retrieval and none of ours.
"""

from processors.operations.attributes import SpanView
from processors.operations.dialects import otel_genai
from processors.operations.dialects.reading import (
    Dialect,
    Keys,
    Reading,
    Signals,
    extended,
)
from processors.operations.messages import read_documents, read_messages

KEYS: Keys = extended(otel_genai.KEYS, {"provider": ("db.system", "db.system.name")})

_SCOPE = "opentelemetry.instrumentation."
SCOPES = tuple(
    _SCOPE + name
    for name in ("chromadb", "qdrant", "pinecone", "milvus", "weaviate", "marqo", "lancedb")
)
_SYSTEMS = frozenset(
    {"chroma", "chromadb", "qdrant", "pinecone", "milvus", "weaviate", "marqo", "lancedb",
     "pgvector", "vespa", "astra"}
)  # fmt: skip
"""Databases that hold vectors alone: others' searches need a vector key to be ours."""
_SEARCHES = ("query", "search", "hybrid_search", "query_points", "retrieve", "get", "select",
             "similarity_search", "near_text", "near_vector", "query_batch")  # fmt: skip
_HIT_EVENTS = ("db.query.result", "db.search.result")


def is_search(span: SpanView) -> bool:
    """Whether the statement looks for documents."""
    said = span.text("db.operation", "db.operation.name", "gen_ai.operation.name")
    operation = said or span.name.rpartition(".")[2]
    return operation.lower() in _SEARCHES or bool(span.events(*_HIT_EVENTS))


def accepts(span: SpanView) -> bool:
    """Searches of a vector database."""
    known = span.scope_name in SCOPES or span.has_prefix("db.vector.")
    known = known or span.text("db.system", "db.system.name").lower() in _SYSTEMS
    return known and is_search(span)


def read(span: SpanView) -> Reading:
    """The query and what was found."""
    reading = Reading(kind="retrieval")
    read_search(span, reading)
    return reading


def read_search(span: SpanView, reading: Reading) -> None:
    """Query, documents and database of a search."""
    system = span.text("db.system", "db.system.name")
    reading.scalars["provider"] = system.lower()
    query = span.get("db.vector.query.content", "db.query.text", "db.statement")
    reading.input = read_messages(query, "user") or reading.input
    hits: list[dict[str, object]] = []
    for event in span.events(*_HIT_EVENTS):
        prefix = len(event.name) + 1
        hits.append({key[prefix:]: value for key, value in event.attributes.items()})
    listed = span.get("db.vector.query.response.documents", "gen_ai.retrieval.documents")
    reading.documents = read_documents(hits or listed) or reading.documents


DIALECT = Dialect(
    name="vector_store",
    checked_against="OpenLLMetry 0.62.4 (chromadb, qdrant)",
    signals=Signals(
        scopes=SCOPES, keys=("db.system", "db.system.name", "db.operation", "db.vector.")
    ),
    keys=KEYS,
    accepts=accepts,
    read=read,
)
