"""The ``notify`` stage: alert transitions in, webhooks out.

Read in this order: ``stage.py`` (messages, order, dead letters), ``webhook.py`` (one receiver),
``alertmanager.py`` (the body), ``signature.py`` (Standard Webhooks).
"""
