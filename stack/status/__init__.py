"""``streamgauge status``: one screen that tells whether it is the application or us.

:mod:`stack.status.lag` asks Kafka, :mod:`stack.status.tables` asks ClickHouse; either may be away.
:mod:`stack.status.report` says what is wrong and whose it is, :mod:`stack.status.screen` draws it.
"""
