# SPDX-License-Identifier: GPL-2.0-or-later
"""The compressions of a .deb's members, as streams.

Reading holds a few MiB whatever the data claims to be. Writing uses the cores there are, yet
the bytes depend on the data, the codec and the level alone, and the result is one stream:
the dpkg of an old suite reads no concatenated ones.
"""

from builders.debkit.codecs.copying import (
    NewBytes,
    Piece,
    Range,
    Slice,
    copy_range,
    sliced,
    write_all,
)
from builders.debkit.codecs.model import (
    BZIP2,
    CHUNK,
    CODECS,
    GZIP,
    GZIP_NG,
    LZMA,
    NONE,
    XZ,
    ZSTD,
    Codec,
    CodecError,
    Packed,
    by_name,
    by_suffix,
    check_level,
    cores,
    known,
)
from builders.debkit.codecs.reading import Kept, Reader, reader
from builders.debkit.codecs.splicing import splice
from builders.debkit.codecs.writing import compress, writer

__all__ = [
    "BZIP2",
    "CHUNK",
    "CODECS",
    "GZIP",
    "GZIP_NG",
    "LZMA",
    "NONE",
    "XZ",
    "ZSTD",
    "Codec",
    "CodecError",
    "Kept",
    "NewBytes",
    "Packed",
    "Piece",
    "Range",
    "Reader",
    "Slice",
    "by_name",
    "by_suffix",
    "check_level",
    "compress",
    "copy_range",
    "cores",
    "known",
    "reader",
    "sliced",
    "splice",
    "write_all",
    "writer",
]
