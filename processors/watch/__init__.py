"""The ``watch`` stage: verdicts in, alerts out.

Read in this order: ``stage.py`` (messages and the timer), ``rules.py`` (which verdicts a rule
hits, its templates), ``alerts.py`` (open alerts of one partition), ``timed_rules.py`` (rules
evaluated over time, on their schedule), ``view_reader.py`` and ``scans.py`` (what they find in
ClickHouse), ``timed_alerts.py`` (what one such rule has pending and firing), ``states.py`` (what is
told of that), ``builtin.py`` (alerts about the rules), ``rule_tests.py`` and ``replay.py`` (tools),
``windows/`` (five-minute windows of every stream).
"""
