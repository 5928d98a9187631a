"""The cap on kept evidence is in estimated bytes: the estimate must be true."""

import gc
import tracemalloc

import pytest

from processors.assemble.memory import TraceMemory
from schemas.records import Content, Fragment, encode_record
from tests.assemble.samples import chat_content, span

FRAGMENTS = 300


@pytest.mark.parametrize(
    "content",
    [Content(), chat_content("q" * 500, "a" * 500), chat_content("q" * 20_000, "a" * 20_000)],
    ids=["none", "short", "long"],
)
def test_what_fragments_hold_is_within_the_estimate_and_not_far_from_it(content: Content) -> None:
    raw = [
        encode_record(span(number, content=content, trace_id=f"{number:032x}", salt=str(number)))
        for number in range(1, FRAGMENTS + 1)
    ]
    memory = TraceMemory(idle_s=120, cap_bytes=1 << 30)
    gc.collect()
    tracemalloc.start()
    try:
        for one in raw:
            state, _ = memory.apply(0, Fragment.model_validate_json(one), 0.0)
            for entry in state.spans.values():
                assert entry.joined.content == content
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert memory.bytes / 2 < held < memory.bytes


def test_a_record_without_its_given_names_says_the_same() -> None:
    fragment = span(1, content=chat_content("q", "a"))
    raw = encode_record(fragment)
    kept = Fragment.model_validate_json(raw)
    kept.drop_given_names()
    assert kept.content.input[0].parts[0].model_fields_set == set()
    assert (encode_record(kept), kept) == (raw, fragment)
    changed = kept.model_copy(update={"flags": ("x",)})
    assert (changed.flags, changed.call, kept.model_fields_set) == (("x",), kept.call, set())
