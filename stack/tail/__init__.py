"""``streamgauge tail``: calls as they come, with what was made of them.

:mod:`stack.tail.follow` reads Kafka, :mod:`stack.tail.calls` joins a call with its verdicts,
:mod:`stack.tail.lines` words it. Content is dropped as soon as a record is read.
"""
