"""The ``notify`` stage: alert transitions in, posts to receivers out.

Read in this order: ``stage.py`` (messages and receivers), ``grouping.py`` (what waits for each
other), ``delivery.py`` (a notification to a receiver; dead letters, the fallback),
``notification.py`` (what is said at once), ``evidence.py``, ``safe.py`` and ``pictures.py`` (what
it is told with), ``memory.py`` (what each was told), ``quiet.py`` (silences, inhibition) and
``tending.py`` (what was held back, reminders), ``routes.py``, ``webhook.py``, ``alertmanager.py``,
``pagerduty.py``, ``slack.py``, ``email.py``, ``apprise_urls.py`` and ``heartbeat.py`` (a receiver
each), ``repetition.py`` (what Alertmanagers hear again), ``encoding.py`` (Alertmanager's bodies),
``wording.py`` (what people read), ``signature.py`` (Standard Webhooks), ``posting.py`` (HTTP).
"""
