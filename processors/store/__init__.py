"""Records of ``genai.*`` topics into their tables."""

from processors.store.stage import StoreStage

__all__ = ["StoreStage"]
