"""The gateway's fixtures, and other languages' SDKs from their registries, pinned, fetched once."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.ingest.conftest import (  # noqa: F401 (fixtures)
    gateway_broker,
    start_gateway,
    written,
    written_logs,
)

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".cache" / "sdks"
_OFFLINE = (
    "ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT",  # npm
    "Unknown host", "Could not transfer", "Connection refused", "timed out",  # Maven
)  # fmt: skip


def _fetch(tools: tuple[str, ...], command: list[str], folder: Path, pin: Path) -> Path:
    """The folder, holding what ``command`` fetches for this pin; skips without tool or network."""
    for tool in tools:
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed: the stock SDK of its language is not tested")
    fetched_for = folder / f"fetched-{pin.name}"
    if not (fetched_for.exists() and fetched_for.read_bytes() == pin.read_bytes()):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for file in pin.parent.glob("package*.json"):
            shutil.copy(file, folder)
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=170, check=False
        )
        said = done.stdout + done.stderr
        if done.returncode and any(word in said for word in _OFFLINE):
            pytest.skip(f"{command[0]} cannot reach its registry, so the SDK cannot be fetched")
        assert done.returncode == 0, said[-2000:]
        shutil.copy(pin, fetched_for)
    return folder


@pytest.fixture(scope="session")
def javascript() -> Path:
    """Folder with ``node_modules``."""
    return _fetch(
        ("node", "npm"),
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        CACHE / "javascript",
        HERE / "javascript" / "package-lock.json",
    )


@pytest.fixture(scope="session")
def java() -> Path:
    """Folder with the SDK's jars."""
    folder, pom = CACHE / "java", HERE / "java" / "pom.xml"
    return _fetch(
        ("javac", "java", "mvn"),
        ["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies",
         f"-DoutputDirectory={folder}"],
        folder,
        pom,
    )  # fmt: skip
