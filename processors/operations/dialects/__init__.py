"""How each instrumentation library writes GenAI spans: one file a dialect, data first.

``registry.py`` gives the order of recognition, ``reading.py`` what a dialect provides.
"""
