"""Prompt embeddings: of a fixed sample, through the manifest's encoder, alike at every repeat."""

import numpy as np
import pytest

from processors.evaluate.embedding import DIMENSIONS, PROJECTION, projected, projection, sampled
from schemas.config import Config, EvaluateConfig
from schemas.manifest import Manifest, load_manifest, model_folder
from schemas.records import Embedding, Operation
from schemas.topics import EMBEDDINGS
from tests.evaluate.samples import operation, text, tiny_config
from tests.evaluate.test_stage import Harness


def embeddings(harness: Harness) -> list[Embedding]:
    """By span: calls of one message are judged side by side, so they come in any order."""
    found = harness.outputs.records(EMBEDDINGS.name)
    return sorted((r for r in found if isinstance(r, Embedding)), key=lambda one: one.span_id)


def all_embedded(config: Config) -> Config:
    evaluate = config.evaluate.model_copy(update={"embedding_share": 1.0})
    return config.model_copy(update={"evaluate": evaluate})


def asks(prompt: str, number: int = 1, **said: object) -> Operation:
    return operation(user=prompt, answer="Yes.", span_id=f"{number:016x}", **said)


@pytest.fixture
async def starter():
    harness = Harness(all_embedded(Config(evaluate=EvaluateConfig(device="cpu"))))
    yield harness
    await harness.close()


async def test_prompts_that_mean_alike_lie_close_and_repeats_say_the_same(starter: Harness) -> None:
    prompts = (
        "How do I return a pair of shoes?",
        "I want to send back the shoes I bought.",
        "Write a function that sorts a list of integers.",
    )
    told = [asks(prompt, number) for number, prompt in enumerate(prompts, 1)]
    await starter.tell(*told)
    first = embeddings(starter)
    near, same_topic, far = (np.array(one.vector) for one in first)
    assert len(near) == DIMENSIONS
    assert np.linalg.norm(near - same_topic) < 0.8 * np.linalg.norm(near - far)
    starter.stage.forget("genai.operations.v1", 0)  # as after a restart: all is judged again
    await starter.tell(*reversed(told))
    again = embeddings(starter)
    assert again == sorted([*first, *first], key=lambda one: one.span_id), "whatever the batch"


async def test_a_row_says_which_encoder_and_whose_prompt_but_no_text(starter: Harness) -> None:
    said = {"service_name": "web", "environment": "prod", "response_model": "gpt-1", "end_ns": 9}
    await starter.tell(asks("my secret question", call=said))
    (row,) = embeddings(starter)
    model = starter.stage._models  # the manifest in use, not a number of this file
    async with model.use() as models:
        manifest = models[0].judge.engine.model.manifest
    graph = next(name for name, entry in manifest.graphs.items() if entry.embedding)
    assert row.encoder == f"{manifest.encoder_version(graph)}-{PROJECTION}"
    assert (row.service_name, row.environment, row.model, row.span_end_ns) == (
        "web", "prod", "gpt-1", 9,
    )  # fmt: skip
    assert "secret" not in row.model_dump_json()


async def test_the_newest_user_message_of_calls_alone_is_embedded(starter: Harness) -> None:
    old, new = text("user", "old"), text("user", "How do I return shoes?")
    talk = operation().content.model_copy(update={"input": (old, text("assistant", "x"), new)})
    await starter.tell(
        asks("How do I return shoes?", 1),
        operation(content=talk, span_id=f"{2:016x}"),
        asks("lookup", 3, call={"kind": "retrieval"}),
        operation(answer="nobody asked", span_id=f"{4:016x}"),
    )
    alone, newest = embeddings(starter)
    assert (alone.vector, newest.span_id) == (newest.vector, f"{2:016x}")


async def test_what_no_encoder_can_say_is_no_row() -> None:
    harness = Harness(all_embedded(tiny_config()))
    await harness.tell(asks("crashword", 1), asks("hello", 2))
    assert [row.span_id for row in embeddings(harness)] == [f"{2:016x}"]
    await harness.close()


def test_the_sample_follows_the_trace_alone() -> None:
    traces = [f"{number:032x}" for number in range(20_000)]
    taken = {trace for trace in traces if sampled(trace, 0.05)}
    assert 0.045 < len(taken) / len(traces) < 0.055
    assert taken <= {trace for trace in traces if sampled(trace, 0.2)}
    assert not any(sampled(trace, 0.0) for trace in traces)


async def test_a_trace_outside_the_sample_has_no_row() -> None:
    harness = Harness(tiny_config(embedding_share=0.0))
    await harness.tell(asks("hello"))
    assert not embeddings(harness)
    await harness.close()


def test_the_projection_is_frozen_and_keeps_distances() -> None:
    matrix = projection(384)
    assert matrix[:3, :4].round(4).tolist() == [
        [-0.125, -0.125, 0.125, -0.125],
        [0.125, 0.125, -0.125, 0.125],
        [-0.125, 0.125, -0.125, -0.125],
    ]
    rng = np.random.default_rng(1)
    points = rng.standard_normal((50, 384))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    before = np.linalg.norm(points[:25] - points[25:], axis=1)
    after = np.linalg.norm((points[:25] - points[25:]) @ matrix, axis=1)
    assert (after / before).mean() == pytest.approx(1.0, abs=0.05)
    assert projected(np.zeros(384, np.float32)) is None
    one = projected(points[0].astype(np.float32))
    assert one == pytest.approx(projected(7 * points[0].astype(np.float32)), abs=1e-6)


def test_another_encoder_or_tokenizer_is_another_version_and_thresholds_are_not() -> None:
    manifest = load_manifest(model_folder(EvaluateConfig().models_dir, "starter"))
    graph = next(name for name, entry in manifest.graphs.items() if entry.embedding)

    def version(**changes: object) -> str:
        return Manifest.model_validate(
            manifest.model_dump(by_alias=True) | changes
        ).encoder_version(graph)

    files = dict(manifest.files)
    others = {entry.file for name, entry in manifest.graphs.items() if name != graph}
    for name in files:
        changed = version(files={**files, name: "0" * 64}) != version()
        assert changed is (name not in others), name
    tokenizer = manifest.tokenizer.model_dump() | {"max_length": 64}
    assert version(tokenizer=tokenizer) != version()
    assert version(measured={}) == version()
