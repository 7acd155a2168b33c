# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel modules with a signature at their end, as the kernel looks for it.

The kernel's own scripts/sign-file appends the same: PKCS#7, struct module_signature
(include/linux/module_signature.h), and a line.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from pathlib import Path

from builders.debkit.finish.work import Work, is_plain
from builders.errors import BuildError
from builders.text import printable

MAGIC = b"~Module signature appended~\n"
_PKCS7 = 2  # PKEY_ID_PKCS7: what is signed, by whom and how is all in the signature itself
_MODULE = re.compile(r"(?:/usr)?/lib/modules/[^/]+/.+\.ko(\.[a-z0-9]+)?")


def trailer(signature: bytes) -> bytes:
    """What follows a module's own bytes."""
    return signature + struct.pack(">BBBBB3xI", 0, 0, _PKCS7, 0, 0, len(signature)) + MAGIC


def correct(work: Work, sign: Callable[[Path], bytes], folder: Path) -> None:
    """Sign each module; `folder` keeps them until all is written.

    BuildError where one is compressed, was changed before, or is signed already.
    """
    for number, (entry, content) in enumerate(work.package.settled()):
        match = _MODULE.fullmatch(entry.path)
        if not match or not is_plain(entry) or entry.path in work.removed:
            continue
        name = printable(entry.path)
        if entry.path in work.replaced:
            raise BuildError(
                f"{name} was changed by a correction", hint="leave that correction out"
            )
        if match[1]:
            raise BuildError(
                f"{name} is compressed, and a signature is of the module itself",
                hint="configs/kernel/signed.config says that modules are not compressed: does "
                "another fragment say otherwise?",
            )
        path = folder / f"{number}.ko"
        last = b""
        try:
            with path.open("wb") as module:
                while part := bytes(content.chunk()):
                    module.write(part)
                    last = (last + part)[-len(MAGIC) :]
        except OSError as error:
            raise _full(path, error) from None
        if last == MAGIC:
            raise BuildError(
                f"{name} is signed already",
                hint="leave CONFIG_MODULE_SIG_ALL out: the build's own key is nobody's",
            )
        signature = sign(path)
        try:
            with path.open("ab") as module:
                module.write(trailer(signature))
        except OSError as error:
            raise _full(path, error) from None
        work.replaced[entry.path] = path


def _full(path: Path, error: OSError) -> BuildError:
    return BuildError(f"{path}: {error.strerror}", hint="a copy of each module has to fit there")
