"""Request and response bodies: spooling, decompression, compression.

A body goes to a spooled file first, so that a slow client never holds a connection of the engine
and a large insert never sits in memory. Raises :class:`BodyError` for a damaged or unknown
encoding and for a body over its limit.
"""

import gzip
import io
import tempfile
import zlib
from typing import BinaryIO, cast

import lz4.frame
import zstandard
from aiohttp import web

MEMORY_BYTES = 4 << 20
"""A body larger than this is kept in a file."""
_READ_ERRORS = (OSError, EOFError, RuntimeError, zlib.error, zstandard.ZstdError)


class BodyError(ValueError):
    """The body cannot be read; the text says why, never what it holds."""


async def spool(request: web.Request, limit_bytes: int) -> BinaryIO:
    """The raw body as a file at position 0. The caller closes it."""
    file = cast(BinaryIO, tempfile.SpooledTemporaryFile(max_size=MEMORY_BYTES))  # noqa: SIM115
    size = 0
    try:
        async for chunk in request.content.iter_any():
            size += len(chunk)
            if size > limit_bytes:
                raise BodyError(f"the body is larger than {limit_bytes} bytes")
            file.write(chunk)
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


def decoded(file: BinaryIO, encoding: str) -> BinaryIO:
    """A reader of the decompressed body. Raises :class:`BodyError` for an unknown encoding."""
    if encoding in ("", "identity"):
        return file
    if encoding in ("gzip", "x-gzip"):
        return cast(BinaryIO, gzip.GzipFile(fileobj=file, mode="rb"))
    if encoding == "zstd":
        reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        return cast(BinaryIO, io.BufferedReader(cast(io.RawIOBase, reader)))
    if encoding == "lz4":
        return cast(BinaryIO, lz4.frame.LZ4FrameFile(file, mode="r"))
    if encoding == "deflate":
        return io.BytesIO(_inflate(file.read()))
    raise BodyError(f"Content-Encoding {encoding} is not supported")


def _inflate(data: bytes) -> bytes:
    try:
        return zlib.decompress(data)
    except zlib.error as error:
        raise BodyError(f"the body is not valid deflate: {error}") from error


def read_at_most(file: BinaryIO, limit_bytes: int) -> bytes:
    """Up to that many bytes. Raises :class:`BodyError` if the compression is damaged."""
    try:
        return file.read(limit_bytes)
    except _READ_ERRORS as error:
        raise BodyError(f"the body cannot be decompressed: {type(error).__name__}") from error


class Rest(io.RawIOBase):
    """What follows ``offset`` in a stream whose first ``head`` bytes were already read."""

    def __init__(self, head: bytes, offset: int, file: BinaryIO) -> None:
        self._head = head[offset:]
        self._file = file

    def read(self, size: int = -1) -> bytes:
        """Next bytes; empty at the end. A damaged body raises RuntimeError, as the engine does."""
        if self._head:
            taken, self._head = self._head[:size], self._head[size:]
            return taken
        try:
            return self._file.read(size)
        except _READ_ERRORS as error:
            raise RuntimeError(
                f"Code: 354. DB::Exception: Cannot decompress: {type(error).__name__}. "
                "(CANNOT_DECOMPRESS)"
            ) from error


def negotiated(accept_encoding: str) -> str:
    """The encoding to answer with, from ``Accept-Encoding``; empty for none."""
    offered = {part.split(";")[0].strip().lower() for part in accept_encoding.split(",")}
    return next((name for name in ("lz4", "zstd", "gzip") if name in offered), "")


def encode(body: bytes, encoding: str) -> bytes:
    """The body compressed for the wire."""
    if encoding == "lz4":
        return cast(bytes, lz4.frame.compress(body))
    if encoding == "zstd":
        return zstandard.ZstdCompressor(level=1).compress(body)
    if encoding == "gzip":
        return gzip.compress(body, compresslevel=1)
    return body
