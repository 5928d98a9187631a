"""Every published figure comes from a script here: ``python -m bench.<name>``.

Each prints its figures and writes ``bench/results/<name>.json``; ``docs/benchmarks.md`` cites them.
"""
