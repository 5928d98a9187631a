"""A loaded model: its ONNX sessions, and the two ways to run them. Blocking, thread-safe."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from schemas.manifest import Manifest, Task

F32 = npt.NDArray[np.float32]

_SHRINK_EVERY_RUNS = 32
"""The CPU arena keeps the largest batch's memory: give it back now and then, not on every run."""


@dataclass(slots=True)
class Graph:
    """One ONNX session with the tensor names that it really has."""

    name: str
    session: Any
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    runs: int = 0

    def run(self, outputs: Sequence[str], feeds: Mapping[str, npt.NDArray[Any]]) -> list[F32]:
        """Outputs by name, blocking. Frees the GIL; raises whatever the runtime raises."""
        self.runs += 1
        options = None
        if self.runs % _SHRINK_EVERY_RUNS == 0:
            options = ort.RunOptions()
            options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        found: list[F32] = self.session.run(list(outputs), dict(feeds), options)
        return found


@dataclass(frozen=True, slots=True)
class Model:
    """A model folder, verified and loaded: ready to score."""

    manifest: Manifest
    tokenizer: Any
    pair_tokenizer: Any
    """Cuts the evidence of a pair into windows, never the claim; None without a pair task."""
    graphs: dict[str, Graph]
    device: str

    @property
    def version(self) -> str:
        """Changes whenever any task's scores may change (the key of cached scores)."""
        return "+".join(self.manifest.model_version(task) for task in sorted(self.manifest.tasks))

    def text_tasks(self, graph: str) -> dict[str, Task]:
        """Tasks that one run of this graph over a text answers."""
        tasks = self.manifest.tasks.items()
        return {name: task for name, task in tasks if task.graph == graph and task.input == "text"}

    def text_graphs(self) -> list[str]:
        """Graphs that read texts (the others are heads over embeddings)."""
        graphs = self.manifest.graphs
        return [name for name in graphs if graphs[name].embedding or self.text_tasks(name)]

    @property
    def encoder(self) -> str | None:
        """The graph whose embedding stands for a text: the first that names one."""
        graphs = self.manifest.graphs
        return next((name for name in graphs if graphs[name].embedding), None)

    def support_task(self) -> Task | None:
        """The task that compares a claim with evidence, if the model has one."""
        return next((t for t in self.manifest.tasks.values() if t.input != "text"), None)


def text_outputs(model: Model, graph: str) -> list[str]:
    """Output tensors that one run of a text graph must give: its tasks', and the embedding."""
    names = [task.output for task in model.text_tasks(graph).values()]
    if embedding := model.manifest.graphs[graph].embedding:
        names.append(embedding)
    return names


def task_scores(task: Task, output: npt.NDArray[Any], rows: int) -> F32:
    """One score a row from a task's output [rows] or [rows, classes].

    Raises ``ValueError`` for an output of another shape.
    """
    values: F32 = np.asarray(output, np.float32).reshape(rows, -1)
    if task.activation == "sigmoid":
        values = np.reciprocal(1 + np.exp(-values))
    elif task.activation == "softmax":
        raised = np.exp(values - values.max(axis=1, keepdims=True))
        values = raised / raised.sum(axis=1, keepdims=True)
    if not task.classes and values.shape[1] != 1:
        raise ValueError(f"output {task.output} has {values.shape[1]} columns; name classes")
    chosen = values[:, list(task.classes)] if task.classes else values
    return np.asarray(chosen.sum(axis=1), np.float32)


def padded(rows: Sequence[Sequence[int]]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Token ids [rows, longest] and their mask."""
    ids = np.zeros((len(rows), max(map(len, rows))), dtype=np.int64)
    mask = np.zeros_like(ids)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row
        mask[index, : len(row)] = 1
    return ids, mask


def run_texts(model: Model, graph: str, rows: Sequence[Sequence[int]]) -> dict[str, F32]:
    """One padded batch: token ids in, ``output -> array`` out, first axis as ``rows``. Blocking.

    Tasks' outputs come as one score a row. Raises ``ValueError`` for another shape, else what the
    runtime raises.
    """
    ids, mask = padded(rows)
    session = model.graphs[graph]
    # Exports differ in whether they take token types (always 0 here: one text a row).
    known = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    feeds = {name: known[name] for name in session.inputs}
    names = text_outputs(model, graph)
    found = dict(zip(names, session.run(names, feeds), strict=True))
    for task in model.text_tasks(graph).values():
        found[task.output] = task_scores(task, found[task.output], len(rows))
    return found


def run_first_pass(model: Model, rows: Sequence[Sequence[int]]) -> dict[str, F32]:
    """The cascade's score by task for one padded batch. Blocking; raises what the runtime does."""
    cascade = model.manifest.cascade
    if cascade is None:
        raise ValueError("the model has no cascade")
    ids, mask = padded(rows)
    names = list(cascade.clear_below)
    feeds = {"input_ids": ids, "attention_mask": mask}
    found = model.graphs[cascade.graph].run(names, feeds)
    return {
        name: np.asarray(values, np.float32).reshape(len(rows))
        for name, values in zip(names, found, strict=True)
    }


def run_support(model: Model, claims: F32, evidence: F32, features: F32) -> F32:
    """P(unsupported) per row of the ``two_texts`` head. Blocking."""
    task = _support_task(model, "two_texts")
    graph = model.graphs[task.graph]
    feeds = dict(zip(graph.inputs, (claims, evidence, features), strict=True))
    (scores,) = graph.run([task.output], feeds)
    return task_scores(task, scores, len(claims))


def run_pairs(
    model: Model, rows: Sequence[Sequence[int]], types: Sequence[Sequence[int]], features: F32
) -> F32:
    """P(unsupported) per row of the ``pair`` graph; ``types`` are the rows' segments. Blocking."""
    task = _support_task(model, "pair")
    ids, mask = padded(rows)
    segments, _ = padded(types)
    graph = model.graphs[task.graph]
    known = {
        "input_ids": ids,
        "attention_mask": mask,
        "token_type_ids": segments,
        "features": features,
    }
    (scores,) = graph.run([task.output], {name: known[name] for name in graph.inputs})
    return task_scores(task, scores, len(rows))


def _support_task(model: Model, reads: str) -> Task:
    task = model.support_task()
    if task is None or task.input != reads:
        raise ValueError(f"the model has no {reads} task")
    return task
