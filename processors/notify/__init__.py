"""The ``notify`` stage: alert transitions in, posts to receivers out.

Read in this order: ``stage.py`` (messages, order, dead letters), ``webhook.py`` and
``alertmanager.py`` (a receiver each), ``repetition.py`` (what Alertmanagers hear again),
``encoding.py`` (the bodies), ``signature.py`` (Standard Webhooks), ``posting.py`` (HTTP).
"""
