"""The ``watch`` stage: verdicts in, alerts out.

Read in this order: ``stage.py`` (messages and the timer), ``rules.py`` (which verdicts a rule
hits, its templates), ``alerts.py`` (open alerts of one partition).
"""
