"""The ``watch`` stage: verdicts in, alerts out.

Read in this order: ``stage.py`` (messages and the timer), ``rules.py`` (which verdicts a rule
hits, its templates), ``alerts.py`` (open alerts of one partition), ``query_rules.py`` (rules that
are queries, on their schedule), ``query_alerts.py`` (what one such rule has pending and firing),
``windows/`` (five-minute windows of every stream).
"""
