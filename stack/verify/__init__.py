"""``streamgauge verify``: what senders got success for, against what is stored.

``generator`` sends seeded traces and writes down, per span, that it was sent and that success came
back. ``oracle`` reads ClickHouse as an analyst would and counts what is lost (success, but not
stored), duplicated (visible twice) or phantom (stored, but never sent). The two share only the
journal file, so the check also works on a staging cluster, hours later.
"""
