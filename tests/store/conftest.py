"""The migrated database of ``tests/sql``, for the stages that write it."""

from tests.sql.conftest import client, migrated, sink

__all__ = ["client", "migrated", "sink"]
