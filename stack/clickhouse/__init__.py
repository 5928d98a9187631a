"""The embedded ClickHouse: chdb (the engine in process) behind ClickHouse's HTTP interface.

Clients (``clickhouse-connect``, curl, Grafana) connect as to a server. It runs as a process of
its own: ``python -m stack.clickhouse --port 8123 --path DIR --token-file FILE``.
"""
