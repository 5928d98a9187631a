"""Names and addresses: an optional ONNX model that classes every token. Off unless configured.

A folder like any model's: its manifest's ``names`` says which graph, which labels, and how sure it
must be. Long texts are read in overlapping windows. Whatever the runtime raises reaches the caller,
who withholds the content.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from processors.operations.detectors import Hit
from schemas.config import Config
from schemas.manifest import Manifest, ManifestError, Names, load_manifest
from schemas.privacy import Entity

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_BATCH_WINDOWS = 16


class NameFinder:
    """Finds people's names and addresses in texts. Blocking, thread-safe."""

    def __init__(self, folder: Path, manifest: Manifest, names: Names, threads: int) -> None:
        # Large libraries, and most installations look for no names.
        import onnxruntime as ort  # noqa: PLC0415
        from tokenizers import Tokenizer  # noqa: PLC0415

        self._names = names
        tokenizer = Tokenizer.from_file(str(folder / manifest.tokenizer.file))
        tokenizer.no_padding()
        tokenizer.enable_truncation(manifest.tokenizer.max_length, stride=manifest.tokenizer.stride)
        self._encode = tokenizer.encode
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = ort.InferenceSession(
            str(folder / manifest.graphs[names.graph].file),
            options,
            providers=["CPUExecutionProvider"],
        )
        self._inputs = [tensor.name for tensor in self._session.get_inputs()]

    @classmethod
    def of(cls, config: Config) -> "NameFinder | None":
        """The configured model, or None. Raises ``ManifestError`` naming setting and fix."""
        folder = config.privacy.names_model
        if folder is None:
            return None
        try:
            manifest = load_manifest(folder)
            if manifest.names is None:
                raise ManifestError(f"{folder / 'manifest.yaml'}: no section names")
            finder = cls(folder, manifest, manifest.names, config.evaluate.threads)
            finder.find("A first run.")
        except ManifestError as error:
            raise ManifestError(f"privacy.names_model: {error}") from None
        except Exception as error:
            raise ManifestError(f"privacy.names_model: {folder} cannot run: {error}") from None
        return finder

    def find(self, text: str) -> list[Hit]:
        """The names and addresses in a text; of overlapping windows possibly twice."""
        if not text:
            return []
        first = self._encode(text)
        windows = [first, *first.overflowing]
        hits: list[Hit] = []
        for start in range(0, len(windows), _BATCH_WINDOWS):
            batch = windows[start : start + _BATCH_WINDOWS]
            for window, rows in zip(batch, self._probabilities(batch), strict=True):
                hits += self._spans(text, window.offsets, rows)
        return hits

    def _probabilities(self, windows: Sequence[Any]) -> "npt.NDArray[np.float32]":
        import numpy as np  # noqa: PLC0415

        longest = max(len(window.ids) for window in windows)
        ids = np.zeros((len(windows), longest), np.int64)
        mask = np.zeros_like(ids)
        for row, window in enumerate(windows):
            ids[row, : len(window.ids)] = window.ids
            mask[row, : len(window.ids)] = 1
        known = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        feeds = {name: known[name] for name in self._inputs}
        (logits,) = self._session.run([self._names.output], feeds)
        raised = np.exp(logits - logits.max(axis=2, keepdims=True))
        found: npt.NDArray[np.float32] = raised / raised.sum(axis=2, keepdims=True)
        if found.shape != (*ids.shape, len(self._names.labels)):
            raise ValueError(f"output {self._names.output} has shape {found.shape}")
        return found

    def _spans(
        self, text: str, offsets: Sequence[tuple[int, int]], rows: "npt.NDArray[np.float32]"
    ) -> Iterator[Hit]:
        """Neighbouring tokens of one entity as one hit."""
        entity: Entity | None = None
        start = end = 0
        for (token_start, token_end), row in zip(offsets, rows, strict=False):
            best = int(row.argmax())
            label = self._names.labels[best]
            sure = float(row[best]) >= self._names.min_probability
            found = self._names.entity_of(label) if sure and token_end > token_start else None
            if entity is not None and (found is not entity or label.startswith("B-")):
                yield Hit(start, end, entity, text[start:end].casefold())
                entity = None
            if found is not None:
                start = token_start if entity is None else start
                entity, end = found, token_end
        if entity is not None:
            yield Hit(start, end, entity, text[start:end].casefold())
