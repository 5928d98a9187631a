"""The ``operations`` stage: raw OTLP spans in, redacted and normalised fragments out.

Read in this order: ``stage.py`` (messages), ``normalize.py`` (one span), ``dialects/`` (one file
a dialect), ``redact.py`` (personal data and secrets), ``price.py`` (cost). Stateless: a message
processed twice gives the same fragments. One bad span becomes one dead letter.
"""
