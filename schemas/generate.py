"""Writes the JSON Schemas of the records: ``python -m schemas.generate``.

One file a record type in ``schemas/generated/``, as it is serialised on the topics. The files are
committed and a test compares them, so that a change of a contract is seen in review.
"""

import json
from pathlib import Path

from schemas.encoding import RECORDS
from schemas.topics import SCHEMA_VERSION

GENERATED = Path(__file__).parent / "generated"


def documents() -> dict[str, str]:
    """Text of each schema file by file name."""
    found: dict[str, str] = {}
    for name, record in RECORDS.items():
        schema = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": f"{name}/{SCHEMA_VERSION}",
            **record.model_json_schema(mode="serialization"),
        }
        found[f"{name}.json"] = json.dumps(schema, indent=1, sort_keys=True) + "\n"
    return found


def main() -> None:
    """Write every file, and remove those of records that are gone."""
    GENERATED.mkdir(exist_ok=True)
    wanted = documents()
    for path in GENERATED.glob("*.json"):
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (GENERATED / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
