"""Sending messages again: dead letters, or a time range of a raw topic.

:mod:`stack.replay.letters` decides which dead letters are sent and from where their bytes come,
:mod:`stack.replay.ranges` which messages of a raw topic; :mod:`stack.replay.resend` sends them.
Identities are functions of bytes, so what was stored already is stored once all the same: nothing
here remembers what it sent, and an interrupted replay is simply run again.
"""
