"""Loads a model folder into ONNX Runtime sessions on a device that is known, not assumed.

``onnxruntime-gpu`` lists CUDA on machines without a GPU and then silently gives a CPU session, so
the device is believed only after the session names its provider and a first run succeeded. A
missing or altered file, a graph that does not answer as its manifest says, or a demanded and
absent GPU refuse to start with :class:`~schemas.manifest.ManifestError` or :class:`DeviceError`.
"""

import ctypes
import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import psutil
from tokenizers import Tokenizer

from processors.evaluate.batching import score_batch, tokenise_pairs
from processors.evaluate.graphs import (
    F32,
    Graph,
    Model,
    run_first_pass,
    run_pairs,
    run_support,
    run_texts,
)
from processors.evaluate.support_features import FEATURE_NAMES, FEATURE_SET
from schemas.config import Config, EvaluateConfig
from schemas.manifest import Manifest, ManifestError, load_manifest, model_folder

LOG = logging.getLogger(__name__)

CUDA = "CUDAExecutionProvider"
CPU = "CPUExecutionProvider"
# With TF32 (the default) scores differ from the CPU's by 1e-3, without by 1e-6 (bench.precision).
_CUDA_OPTIONS = {"arena_extend_strategy": "kSameAsRequested", "use_tf32": "0"}
_FATAL_ONLY = 4
"""Log severity while a GPU is tried: a failed attempt is ours to report, in one line."""
_CHECK_ROWS, _CHECK_TOKENS, _CHECK_RUNS = 16, 64, 3
_PROBE = ("This is a first run.", "Its two texts have different lengths, so that padding is seen.")


class DeviceError(ManifestError):
    """The device demanded for a model is absent; the text names the providers found."""


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
    folder = model_folder(config.models_dir, config.model)
    manifest = load_manifest(folder)
    cuda = _wants_cuda(config.device)
    threads = core_count(config.threads)
    graphs: dict[str, Graph] = {}
    used: set[str] = set()
    for name, entry in manifest.graphs.items():
        # Heads over embeddings are tiny and their inputs are on the host: the CPU is nearer.
        reads_text = bool(entry.embedding) or any(
            task.graph == name and task.input != "two_texts" for task in manifest.tasks.values()
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
    pair_tokenizer = _pair_tokenizer(folder, manifest)
    device = "cuda" if used == {CUDA} else "cpu"
    model = Model(manifest, tokenizer, pair_tokenizer, graphs, device)
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
    if manifest.tokenizer.stride >= manifest.tokenizer.max_length - 2:
        raise ManifestError(f"{folder / 'manifest.yaml'}: tokenizer.stride must be < max_length-2")
    tokenizer = _read_tokenizer(folder / manifest.tokenizer.file)
    tokenizer.enable_truncation(manifest.tokenizer.max_length, stride=manifest.tokenizer.stride)
    return tokenizer


def _pair_tokenizer(folder: Path, manifest: Manifest) -> Any:
    """The same, cutting the evidence of a pair alone; None without a pair task."""
    task = next((t for t in manifest.tasks.values() if t.input == "pair"), None)
    if task is None:
        return None
    tokenizer = _read_tokenizer(folder / manifest.tokenizer.file)
    tokenizer.enable_truncation(
        manifest.tokenizer.max_length,
        stride=manifest.tokenizer.stride,
        strategy="only_first" if task.first == "evidence" else "only_second",
    )
    return tokenizer


def _read_tokenizer(path: Path) -> Any:
    try:
        tokenizer = Tokenizer.from_file(str(path))
    # The binding raises a bare Exception for every fault of the file.
    except Exception as error:
        raise ManifestError(f"{path}: not a tokenizer: {error}") from None
    tokenizer.no_padding()
    return tokenizer


def _check_tasks(folder: Path, model: Model) -> None:
    """Every tensor and feature set the manifest names must exist."""
    path = folder / "manifest.yaml"
    manifest = model.manifest
    for name, task in manifest.tasks.items():
        if task.output not in model.graphs[task.graph].outputs:
            raise ManifestError(f"{path}: tasks.{name}.output: no output named {task.output!r}")
        needs_features = task.input == "two_texts" or (
            task.input == "pair" and "features" in model.graphs[task.graph].inputs
        )
        if task.features != (FEATURE_SET if needs_features else ""):
            wanted = FEATURE_SET if needs_features else "nothing"
            raise ManifestError(f"{path}: tasks.{name}.features: expected {wanted}")
    for name, entry in manifest.graphs.items():
        if entry.embedding and entry.embedding not in model.graphs[name].outputs:
            raise ManifestError(f"{path}: graphs.{name}.embedding: no output {entry.embedding!r}")
    if sum(task.input != "text" for task in manifest.tasks.values()) > 1:
        raise ManifestError(f"{path}: tasks: only one may compare a claim with evidence")
    reads_embeddings = any(task.input == "two_texts" for task in manifest.tasks.values())
    if reads_embeddings and not any(entry.embedding for entry in manifest.graphs.values()):
        raise ManifestError(f"{path}: a two_texts task needs a graph that names its embedding")


def _first_run(folder: Path, model: Model) -> None:
    """One padded batch through every graph; what comes out must be what the manifest promises."""
    path = folder / "manifest.yaml"
    manifest = model.manifest
    rows = [encoding.ids for encoding in model.tokenizer.encode_batch(list(_PROBE))]
    embedding: F32 | None = None
    try:
        for name in model.text_graphs():
            outputs = run_texts(model, name, rows)
            entry = manifest.graphs[name]
            if entry.embedding:
                embedding = outputs[entry.embedding]
        support = model.support_task()
        features = np.zeros((2, len(FEATURE_NAMES)), np.float32)
        if support is not None and support.input == "pair":
            (pairs,) = tokenise_pairs(model, [_PROBE])
            run_pairs(model, [pairs[0].ids] * 2, [pairs[0].types] * 2, features)
        elif support is not None and embedding is not None:
            run_support(model, embedding, embedding, features)
        if manifest.cascade is not None:
            run_first_pass(model, rows)
    # The first run decides whether the model is usable at all, whatever the runtime raises.
    except Exception as error:
        raise ManifestError(f"{path}: the first run failed: {error}") from None


@dataclass(frozen=True, slots=True)
class ModelCheck:
    """A model folder that loads, runs and answers as its manifest says."""

    folder: str
    name: str
    version: str
    device: str
    tasks: tuple[str, ...]
    load_ms: float
    tokens_per_second: float


def check_models(config: Config) -> list[ModelCheck]:
    """Verify, load and time every folder of ``evaluate.models_dir``, the configured one included.

    Blocking, a few seconds a model. Raises as :func:`load_model` does, at the first that fails.
    """
    settings = config.evaluate
    folders = {path.parent.name for path in settings.models_dir.glob("*/manifest.yaml")}
    return [_check(settings, name) for name in sorted({*folders, settings.model})]


def _check(settings: EvaluateConfig, name: str) -> ModelCheck:
    started = time.perf_counter()
    model = load_model(settings.model_copy(update={"model": name}))
    load_ms = (time.perf_counter() - started) * 1000
    length = min(_CHECK_TOKENS, model.manifest.tokenizer.max_length)
    # Which tokens does not matter for the time of a run.
    rows = [[token % model.tokenizer.get_vocab_size() for token in range(length)]] * _CHECK_ROWS
    score_batch(model, rows)
    started = time.perf_counter()
    for _ in range(_CHECK_RUNS):
        score_batch(model, rows)
    seconds = time.perf_counter() - started
    return ModelCheck(
        folder=name,
        name=model.manifest.name,
        version=model.manifest.version,
        device=model.device,
        tasks=tuple(sorted(model.manifest.tasks)),
        load_ms=round(load_ms, 1),
        tokens_per_second=round(_CHECK_RUNS * _CHECK_ROWS * length / seconds),
    )
