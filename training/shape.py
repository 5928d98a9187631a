"""Sizes of the base encoder (all-MiniLM-L6-v2), and the type of its weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
Weights = Mapping[str, npt.NDArray[Any]]

HIDDEN, INNER = 384, 1536
HEADS = 12
LAYERS = 6
WORDS, PLACES, SEGMENTS = 30_522, 512, 2
EPSILON = 1e-12
