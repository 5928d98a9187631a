"""Judges operations with ONNX models in token-budget batches and emits evaluations.

``context`` picks the texts of an operation, ``normalise`` and ``claims`` prepare them, ``engine``
scores them off the event loop, ``evaluators`` turns scores into verdicts, ``checks`` judge by rules
without a model, ``stage`` stamps rows.
A model that fails or returns NaN makes a ``failed`` row for the texts concerned, never a crash; a
model folder that cannot be trusted stops the worker before its first message.
"""
