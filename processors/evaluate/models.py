"""Loads a model folder into ONNX Runtime sessions on a device that is known, not assumed.

``onnxruntime-gpu`` lists CUDA on machines without a GPU and then silently gives a CPU session, so
the device is believed only after the session names its provider and a first run succeeded. A
missing or altered file, a graph that does not answer as its manifest says, or a demanded and
absent GPU refuse to start with :class:`~schemas.manifest.ManifestError` or :class:`DeviceError`.
"""

import ctypes
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import psutil
from tokenizers import Tokenizer

from processors.evaluate.support_features import FEATURE_NAMES, FEATURE_SET
from schemas.config import EvaluateConfig
from schemas.manifest import Manifest, ManifestError, Task, load_manifest

LOG = logging.getLogger(__name__)

F32 = npt.NDArray[np.float32]

CUDA = "CUDAExecutionProvider"
CPU = "CPUExecutionProvider"
_CUDA_OPTIONS = {"arena_extend_strategy": "kSameAsRequested"}
_FATAL_ONLY = 4
"""Log severity while a GPU is tried: a failed attempt is ours to report, in one line."""
_SHRINK_EVERY_RUNS = 32
"""The CPU arena keeps the largest batch's memory: give it back now and then, not on every run."""
_PROBE = ("This is a first run.", "Its two texts have different lengths, so that padding is seen.")


class DeviceError(RuntimeError):
    """The demanded device is absent; the text names the providers found."""


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

    def support_task(self) -> Task | None:
        """The task that compares a claim with evidence, if the model has one."""
        return next((t for t in self.manifest.tasks.values() if t.input == "two_texts"), None)


def core_count(threads: int) -> int:
    """``threads``, or for 0 the physical cores that this process may use."""
    if threads:
        return threads
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(psutil.cpu_count(logical=False) or 1, allowed or 1))


def gpu_count() -> int:
    """NVIDIA GPUs that the driver itself counts (0 without a driver)."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    found = ctypes.c_int(0)
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(found)):
        return 0
    return found.value


def _options(threads: int, severity: int) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Stages share the cores: a thread that spins while it waits starves its neighbours.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    # Batch shapes vary, and a memory plan would be kept for every shape ever seen.
    options.enable_mem_pattern = False
    options.log_severity_level = severity
    return options


def _open(path: Path, threads: int, cuda: bool) -> Any:
    """A session; with ``cuda`` it may still be a CPU one, which the caller must check."""
    providers: list[Any] = [CPU]
    if cuda:
        providers.insert(0, (CUDA, _CUDA_OPTIONS))
    try:
        return ort.InferenceSession(
            str(path), _options(threads, _FATAL_ONLY if cuda else 3), providers=providers
        )
    # ONNX Runtime has no common base for what a file it cannot read may raise.
    except Exception as error:
        raise ManifestError(f"{path}: ONNX Runtime cannot load it: {error}") from None


def _wants_cuda(device: str) -> bool:
    """Whether to try the GPU. Raises :class:`DeviceError` if one is demanded and cannot be."""
    available = ort.get_available_providers()
    if device == "cpu":
        return False
    found = gpu_count() if CUDA in available else 0
    if found:
        ort.preload_dlls()
        return True
    if device == "cuda":
        raise DeviceError(
            "evaluate.device is cuda but no GPU is usable: the driver counts 0 GPUs; providers"
            f" compiled in: {', '.join(available)}; working: {CPU}."
            " Install streamgauge[gpu] on a GPU host or set evaluate.device to auto or cpu"
        )
    return False


def _open_text_graph(path: Path, threads: int, device: str, cuda: bool) -> Any:
    session = _open(path, threads, cuda)
    providers = session.get_providers()
    if cuda and CUDA not in providers:
        if device == "cuda":
            raise DeviceError(
                f"evaluate.device is cuda but the session runs on: {', '.join(providers)}"
                " (are the CUDA and cuDNN libraries of streamgauge[gpu] installed?)"
            )
        LOG.warning("a GPU is present but unusable; session providers: %s", ", ".join(providers))
    return session


def load_model(config: EvaluateConfig) -> Model:
    """Verify and load ``models_dir/model``, run it once, log the device.

    Blocking (seconds). Raises :class:`~schemas.manifest.ManifestError` naming the file and what
    was expected, :class:`DeviceError` naming the providers found.
    """
    folder = config.models_dir / config.model
    manifest = load_manifest(folder)
    cuda = _wants_cuda(config.device)
    threads = core_count(config.threads)
    graphs: dict[str, Graph] = {}
    used: set[str] = set()
    for name, entry in manifest.graphs.items():
        # Heads over embeddings are tiny and their inputs are on the host: the CPU is nearer.
        reads_text = bool(entry.embedding) or any(
            task.graph == name and task.input == "text" for task in manifest.tasks.values()
        )
        path = folder / entry.file
        session = (
            _open_text_graph(path, threads, config.device, cuda)
            if reads_text
            else _open(path, threads, cuda=False)
        )
        if reads_text:
            used.add(session.get_providers()[0])
        graphs[name] = Graph(
            name,
            session,
            entry.inputs or tuple(node.name for node in session.get_inputs()),
            tuple(node.name for node in session.get_outputs()),
        )
    tokenizer = _tokenizer(folder, manifest)
    device = "cuda" if used == {CUDA} else "cpu"
    model = Model(manifest, tokenizer, graphs, device)
    _check_tasks(folder, model)
    _first_run(folder, model)
    LOG.info(
        "model %s %s on %s (providers: %s; %d threads)",
        manifest.name,
        manifest.version,
        device,
        ", ".join(sorted(used)),
        threads,
    )
    return model


def _tokenizer(folder: Path, manifest: Manifest) -> Any:
    """The Rust tokenizer, cutting texts into windows of the manifest's length and stride."""
    path = folder / manifest.tokenizer.file
    if manifest.tokenizer.stride >= manifest.tokenizer.max_length - 2:
        raise ManifestError(f"{folder / 'manifest.yaml'}: tokenizer.stride must be < max_length-2")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    # The binding raises a bare Exception for every fault of the file.
    except Exception as error:
        raise ManifestError(f"{path}: not a tokenizer: {error}") from None
    tokenizer.no_padding()
    tokenizer.enable_truncation(manifest.tokenizer.max_length, stride=manifest.tokenizer.stride)
    return tokenizer


def _check_tasks(folder: Path, model: Model) -> None:
    """Every tensor and feature set the manifest names must exist."""
    path = folder / "manifest.yaml"
    manifest = model.manifest
    for name, task in manifest.tasks.items():
        if task.input == "pair":
            raise ManifestError(f"{path}: tasks.{name}.input: pair is not supported yet")
        if task.output not in model.graphs[task.graph].outputs:
            raise ManifestError(f"{path}: tasks.{name}.output: no output named {task.output!r}")
        if task.input == "two_texts" and task.features != FEATURE_SET:
            raise ManifestError(f"{path}: tasks.{name}.features: expected {FEATURE_SET}")
    for name, entry in manifest.graphs.items():
        if entry.embedding and entry.embedding not in model.graphs[name].outputs:
            raise ManifestError(f"{path}: graphs.{name}.embedding: no output {entry.embedding!r}")
    if model.support_task() and not any(entry.embedding for entry in manifest.graphs.values()):
        raise ManifestError(f"{path}: a two_texts task needs a graph that names its embedding")


def _first_run(folder: Path, model: Model) -> None:
    """One padded batch through every graph; what comes out must be what the manifest promises."""
    path = folder / "manifest.yaml"
    rows = [encoding.ids for encoding in model.tokenizer.encode_batch(list(_PROBE))]
    embedding: F32 | None = None
    try:
        for name in model.text_graphs():
            outputs = run_texts(model, name, rows)
            entry = model.manifest.graphs[name]
            if entry.embedding:
                embedding = outputs[entry.embedding]
        if embedding is not None and model.support_task():
            run_support(model, embedding, embedding, np.zeros((2, len(FEATURE_NAMES)), np.float32))
    # The first run decides whether the model is usable at all, whatever the runtime raises.
    except Exception as error:
        raise ManifestError(f"{path}: the first run failed: {error}") from None


def text_outputs(model: Model, graph: str) -> list[str]:
    """Output tensors that one run of a text graph must give: its tasks', and the embedding."""
    names = [task.output for task in model.text_tasks(graph).values()]
    if embedding := model.manifest.graphs[graph].embedding:
        names.append(embedding)
    return names


def run_texts(model: Model, graph: str, rows: Sequence[Sequence[int]]) -> dict[str, F32]:
    """One padded batch: token ids in, ``output -> array`` out, first axis as ``rows``. Blocking.

    Scores come as one number a row. Raises ``ValueError`` for another shape, else what the
    runtime raises.
    """
    width = max(map(len, rows))
    ids = np.zeros((len(rows), width), dtype=np.int64)
    mask = np.zeros_like(ids)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row
        mask[index, : len(row)] = 1
    session = model.graphs[graph]
    # Exports differ in whether they take token types (always 0 here: one text a row).
    known = {"input_ids": ids, "attention_mask": mask, "token_type_ids": None}
    feeds = {}
    for name in session.inputs:
        value = known[name] if name in known else None
        feeds[name] = np.zeros_like(ids) if value is None else value
    names = text_outputs(model, graph)
    found = dict(zip(names, session.run(names, feeds), strict=True))
    for task in model.text_tasks(graph).values():
        found[task.output] = np.asarray(found[task.output], np.float32).reshape(len(rows))
    return found


def run_support(model: Model, claims: F32, evidence: F32, features: F32) -> F32:
    """P(unsupported) per row of the ``two_texts`` head. Blocking."""
    task = model.support_task()
    if task is None:
        raise ValueError("the model has no two_texts task")
    graph = model.graphs[task.graph]
    feeds = dict(zip(graph.inputs, (claims, evidence, features), strict=True))
    (scores,) = graph.run([task.output], feeds)
    return np.asarray(scores, np.float32).reshape(len(claims))
