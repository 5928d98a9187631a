"""Secrets and certificate files that the configuration names, read when they are needed.

A file is read anew at each use, so that a rotated secret counts from the next connection on.
"""

from pathlib import Path

from pydantic import SecretStr


class SecretFileError(ValueError):
    """A file of the configuration cannot be used; the text names the key, the file and why."""


def secret_text(given: SecretStr, path: Path | None, key: str) -> str:
    """The secret itself, else the content of its file, else nothing.

    ``key`` is the file's configuration key, for the error. One newline at the end is not part of
    the secret. Raises :class:`SecretFileError`.
    """
    text = given.get_secret_value()
    if text or path is None:
        return text
    try:
        text = path.read_text().removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise SecretFileError(f"{key}: cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SecretFileError(f"{key}: {path} is not UTF-8 text") from None
    if not text:
        raise SecretFileError(f"{key}: {path} is empty")
    return text


def readable(path: Path | None, key: str) -> str | None:
    """The path as text once it can be read. Raises :class:`SecretFileError`."""
    if path is None:
        return None
    try:
        with path.open("rb"):
            return str(path)
    except OSError as error:
        raise SecretFileError(f"{key}: cannot read {path}: {error.strerror}") from None
