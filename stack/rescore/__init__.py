"""``streamgauge rescore``: history judged by another model, or with other thresholds.

``stored.py`` makes operations of what is stored, ``judging.py`` judges them with the code of
``evaluate`` and writes the verdicts to ``genai.evaluations.v1``, as a shadow's: they are stored and
compared, and alert nobody. Nothing is read from Kafka, so that history may be older than its
retention; it is as old as that of content.
"""
