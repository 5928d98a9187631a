"""The ``notify`` stage: alert transitions in, posts to receivers out.

Read in this order: ``stage.py`` (messages, order, dead letters), ``webhook.py``,
``alertmanager.py``, ``pagerduty.py`` and ``slack.py`` (a receiver each), ``repetition.py`` (what
Alertmanagers hear again), ``encoding.py`` (Alertmanager's bodies), ``wording.py`` (what people
read), ``signature.py`` (Standard Webhooks), ``posting.py`` (HTTP).
"""
