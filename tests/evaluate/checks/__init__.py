"""Evaluations by rules."""
