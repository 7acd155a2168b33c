# SPDX-License-Identifier: GPL-2.0-or-later
"""Bytes that go into a file as they are, inside the kernel where it can."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from builders.debkit.codecs.model import CHUNK, CodecError


class Sink(Protocol):
    """An open file without a buffer of its own."""

    def write(self, data: bytes | memoryview, /) -> int | None: ...
    def fileno(self) -> int: ...


def write_all(out: Sink, data: bytes | memoryview) -> None:
    """Write every byte: one call of an unbuffered file may write fewer."""
    view = memoryview(data)
    while view:
        view = view[out.write(view) or 0 :]


def copy_range(source: int, out: Sink, start: int, count: int) -> None:
    """Copy `count` bytes from offset `start` of descriptor `source`, inside the kernel if it can.

    CodecError where the source has fewer.
    """
    target = out.fileno()
    for copy in (_copy_file_range, _sendfile, _copy_chunk):
        while count:
            try:
                done = copy(source, target, start, count)
            except OSError:
                # Another file system, or one that knows no such call: the next way copies the
                # rest, and the last one raises what is really wrong.
                if copy is _copy_chunk:
                    raise
                break
            if not done:
                if copy is _copy_chunk:
                    raise CodecError("the file is cut short")
                break
            start, count = start + done, count - done


def _copy_file_range(source: int, target: int, start: int, count: int) -> int:
    return os.copy_file_range(source, target, count, start)


def _sendfile(source: int, target: int, start: int, count: int) -> int:
    return os.sendfile(target, source, start, count)


def _copy_chunk(source: int, target: int, start: int, count: int) -> int:
    return os.write(target, os.pread(source, min(count, CHUNK), start))


@dataclass(frozen=True)
class Range:
    """Bytes `start` to `end` of what a Packed decompresses to."""

    start: int
    end: int


@dataclass(frozen=True)
class Slice:
    """`size` bytes from `start` on of a file, such as a member of a tar archive."""

    path: Path
    start: int
    size: int


NewBytes = bytes | Path | Slice  # a Path stands for the content of that file
Piece = Range | NewBytes


def sliced(piece: Slice) -> Iterator[bytes]:
    """The content of a slice in parts; CodecError where its file ends before."""
    with piece.path.open("rb") as file:
        file.seek(piece.start)
        left = piece.size
        while left:
            part = file.read(min(left, CHUNK))
            if not part:
                raise CodecError(f"{piece.path} is cut short")
            left -= len(part)
            yield part
