"""Encoder outputs on disk, in shards, so that an interrupted run goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from training.encoder import F32, Encoder

SHARD = 4000  # windows a shard


class Cache:
    """Encodes windows through `encoder`, keeping one fp16 file per shard under `folder`."""

    def __init__(self, folder: Path, encoder: Encoder, version: str) -> None:
        """`version` names the encoder (its hash): another encoder never reads these files."""
        self.folder = folder
        self.encoder = encoder
        self.version = version
        folder.mkdir(parents=True, exist_ok=True)

    def encode(self, name: str, ids: Sequence[Sequence[int]], output: str) -> F32:
        """Values of the graph output `output` for each window, [len(ids), size]."""
        parts: list[F32] = []
        started = time.monotonic()
        for start in range(0, len(ids), SHARD):
            part = [list(i) for i in ids[start : start + SHARD]]
            key = hashlib.sha256(json.dumps([self.version, output, part]).encode()).hexdigest()
            path = self.folder / f"{key[:32]}.npy"
            if not path.exists():
                values = self.encoder.encode(part, [output])[0].astype(np.float16)
                partial = path.with_suffix(".part.npy")
                np.save(partial, values)
                partial.rename(path)  # a killed run leaves no half shard
            parts.append(np.load(path).astype(np.float32))
            done = min(start + SHARD, len(ids))
            print(
                f"  {name}: {done}/{len(ids)} windows, {time.monotonic() - started:.0f} s",
                flush=True,
            )
        return np.concatenate(parts)
