"""The analyst's store: numbered migrations, views, cookbook queries, and what applies them.

``migrations/`` holds tables (never edited once applied), ``views/`` the analysts' contract
(re-created on every ``migrate``), ``queries/`` a cookbook. Every table is a
ReplacingMergeTree(revision) by identity: a row may be inserted any number of times, in any order,
and is seen once, newest revision. Read through the views.
"""
