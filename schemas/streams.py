"""Streams of windows: what is measured, of which rows, under which labels. The one list.

A *family* names rows; each of its *metrics* is a number, a yes or no, or one of some categories of
such a row; each of its *dimension sets* is a choice of labels. A stream is one metric under one
choice of labels. A set that ends in a label leaves out rows in which that one is empty.

Values are counted by *key*: a DDSketch (Masson, Rim and Lee, PVLDB 12(12), 2019) with relative
error :data:`SKETCH_ERROR`, whose keys are the same for every stream and for ever. So windows merge
by adding counts, a window computed again is the same, and bins whose bounds are bounds of keys
come out exactly, today's and those that someone will want of old windows. Edges never change: other
edges are another version (``duration/2``).

SQL texts are of ClickHouse, over the columns that :mod:`sql.windows` gives the family's rows.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

BUCKET_S = 300
"""Length of a window."""
STREAM_PLACE_S = 30 * 86_400
"""A stream unseen for this long gives its place among the tenant's to others."""
STREAM_REFRESH_S = 86_400
"""A stream's ``last_seen`` is at most this old."""
OTHER = "other"
"""Label value of the streams that count what has no place of its own."""

SKETCH_ERROR = 0.01
SKETCH_BASE = (1 + SKETCH_ERROR) / (1 - SKETCH_ERROR)
ZERO_KEY = -32_768
"""Exactly 0: a point mass of its own."""
KEY_LIMIT = 32_767


def sketch_key(value: float) -> int:
    """Key of a finite value that is not negative."""
    if value == 0:
        return ZERO_KEY
    key = math.ceil(math.log(value) / math.log(SKETCH_BASE))
    return max(-KEY_LIMIT, min(KEY_LIMIT, key))


def sketch_value(key: int) -> float:
    """Value within the relative error of all that the key counts."""
    return 0.0 if key == ZERO_KEY else SKETCH_BASE**key * 2 / (1 + SKETCH_BASE)


def quantile(sketch: Mapping[int, int], share: float) -> float | None:
    """Value below which ``share`` of the counted lie, within the relative error; None without."""
    left = share * (sum(sketch.values()) - 1)
    for key in sorted(sketch):
        left -= sketch[key]
        if left < 0:
            return sketch_value(key)
    return sketch_value(max(sketch)) if sketch else None


@dataclass(frozen=True, slots=True)
class Edges:
    """Frozen bins.

    With ``bounds``: bin 0 holds exactly 0, then come the intervals between the bounds, open at both
    ends; each bound is moved to the nearest bound of a key. With ``categories``: one bin each.
    Without either (vectors): none.
    """

    version: str
    bounds: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[int, ...]:
        """Highest key of each bin, the last bin's included."""
        if self.categories:
            return tuple(range(len(self.categories)))
        if not self.bounds:
            return ()
        between = (round(math.log(bound) / math.log(SKETCH_BASE)) for bound in self.bounds)
        return (ZERO_KEY, *between, KEY_LIMIT)

    @property
    def bins(self) -> tuple[str, ...]:
        """What each bin holds, in words."""
        if self.categories:
            return self.categories
        if not self.bounds:
            return ()
        ends = [f"{bound:g}" for bound in self.bounds]
        middle = [f"{low} to {high}" for low, high in pairwise(ends)]
        return ("0", f"up to {ends[0]}", *middle, f"over {ends[-1]}")


def _decades(low: int, high: int, *steps: float) -> tuple[float, ...]:
    return tuple(step * 10.0**power for power in range(low, high) for step in steps)


YES_NO = Edges("yes_no/1", categories=("no", "yes"))
SCORE = Edges(
    "score/1",
    tuple(
        per_mille / 1000
        for per_mille in (1, 3, 10, 20, 50, 100, 150, *range(200, 801, 100), 850, 900, 950, 980)
    ),
)
TOKENS = Edges("tokens/1", tuple(2.0**power for power in range(2, 20)))
COST = Edges("cost/1", _decades(-6, 2, 1, 3))
DURATION = Edges("duration/1", _decades(6, 12, 1, 2, 5))
FINISH = Edges(
    "finish/1", categories=("stop", "length", "tool_call", "content_filter", "error", OTHER)
)
VECTOR = Edges("vector/1")
EDGES = {edges.version: edges for edges in (YES_NO, SCORE, TOKENS, COST, DURATION, FINISH, VECTOR)}
"""Every version there ever was, by name."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One measurement of a row. ``value`` is SQL, null where the row says nothing.

    Of :data:`YES_NO` the value is a Bool, of other categories the category's text, else a number
    that is not negative; ``flagged`` is SQL too, and what a yes means of :data:`YES_NO`. Of
    :data:`VECTOR` it is an array of numbers, whose moments windows hold in place of bins.
    """

    name: str
    value: str
    edges: Edges
    flagged: str = "false"

    @property
    def is_rate(self) -> bool:
        """Whether some of the values are flagged."""
        return self.edges is YES_NO or self.flagged != "false"

    @property
    def is_distribution(self) -> bool:
        """Whether there is more to the values than being flagged."""
        return self.edges not in (YES_NO, VECTOR)

    @property
    def is_vector(self) -> bool:
        """Whether values are vectors, all of one length."""
        return self.edges is VECTOR


@dataclass(frozen=True, slots=True)
class DimensionSet:
    """A choice of labels: columns of the family's rows."""

    name: str
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Family:
    """Rows of one table that are measured alike."""

    name: str
    source: Literal["genai_operations", "genai_evaluations", "genai_embeddings"]
    where: str
    metrics: tuple[Metric, ...]
    dimension_sets: tuple[DimensionSet, ...]


_APP = ("service_name", "environment")
SERVICE = DimensionSet("service", _APP)
MODEL = DimensionSet("model", (*_APP, "model"))
PROMPT = DimensionSet("prompt", (*_APP, "prompt_name", "prompt_version"))
RELEASE = DimensionSet("release", (*_APP, "service_version"))
TOOL = DimensionSet("tool", (*_APP, "tool_name"))

CALLS = Family(
    "calls",
    "genai_operations",
    "kind IN ('chat', 'text_completion', 'generate_content') AND NOT rolls_up",
    (
        Metric(
            "input_tokens",
            "if(input_tokens IS NULL, NULL, input_tokens + coalesce(cache_read_tokens, 0) "
            "+ coalesce(cache_write_tokens, 0) + coalesce(cache_write_1h_tokens, 0))",
            TOKENS,
        ),
        Metric(
            "output_tokens",
            "if(output_tokens IS NULL, NULL, output_tokens + coalesce(reasoning_tokens, 0))",
            TOKENS,
        ),
        Metric("cost_usd", "cost_usd", COST),
        Metric("duration_ns", "duration_ns", DURATION),
        Metric("time_to_first_token_ns", "time_to_first_token_ns", DURATION),
        Metric("errors", "status = 'error'", YES_NO),
        Metric(
            "finish_reason",
            "if(empty(finish_reasons), NULL, finish_reasons[1])",
            FINISH,
            "finish_reasons[1] NOT IN ('stop', 'tool_call')",
        ),
    ),
    (SERVICE, MODEL, PROMPT, RELEASE),
)
TOOLS = Family(
    "tools",
    "genai_operations",
    "kind = 'execute_tool'",
    (Metric("errors", "status = 'error'", YES_NO), Metric("duration_ns", "duration_ns", DURATION)),
    (SERVICE, TOOL),
)
VERDICTS = Family(
    "verdicts",
    "genai_evaluations",
    "target = 'operation' AND source = 'ours' AND state = 'ok'",
    (Metric("score", "score", SCORE, "label != 'pass'"),),
    (SERVICE, MODEL, PROMPT, RELEASE),
)
PROMPTS = Family(
    "prompts",
    "genai_embeddings",
    "notEmpty(vector) AND arrayAll(x -> isFinite(x), vector)",
    (Metric("embedding", "vector", VECTOR),),
    (SERVICE, MODEL),
)
"""Where prompts lie; the encoder's version is the ``model_version`` of the stream."""
FAMILIES = (CALLS, TOOLS, VERDICTS, PROMPTS)
"""Shadows are streams of their own: the version of what judged is part of every verdict's."""
METRICS = {(family.name, metric.name): metric for family in FAMILIES for metric in family.metrics}
"""By the names of family and metric, which ``genai_streams`` keeps."""
