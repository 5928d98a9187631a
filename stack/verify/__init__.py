"""``streamgauge verify``: what senders got success for, against what is stored.

``generator`` plans seeded traces and ``sender`` sends them, writing down per span that it was sent
and that success came back. ``oracle`` reads ClickHouse as an analyst would and counts what is lost
(success, but not stored), duplicated (visible twice) or phantom (stored, but never sent);
``alerts`` compares alert transitions with those that the verdicts call for, ``windows`` the stored
windows with a recount. Sending and checking share only the journal file, so the check also works
on a staging cluster, hours later.
"""
