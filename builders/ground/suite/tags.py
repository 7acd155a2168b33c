# SPDX-License-Identifier: GPL-2.0-or-later
"""Signatures of git tags, checked by gpgv(1) as those of a suite are."""

from __future__ import annotations

from pathlib import Path

from builders.errors import BuildError, Exit
from builders.ground.engine.box import ensure_tools
from builders.ground.sources.pins import GitSource
from builders.ground.suite.archive import verify
from builders.progress import Reporter


def check(text: bytes, armoured: bytes, source: GitSource, reporter: Reporter) -> None:
    """BuildError (SOURCE) where no key that the source lists made the signature of a tag.

    text: what was signed. A key that has expired since counts, one that was revoked does not.
    """
    ensure_tools(["gpgv", "gnupg"], reporter)
    keyring = Path(source.keyring)
    if not keyring.is_file():
        raise BuildError(
            f"sources.{source.name}.keyring: {keyring} is no file",
            hint="put the keys there that may sign the tag: gpg --export FINGERPRINT",
        )
    what = f"the tag {source.ref} of source {source.name}"
    try:
        verify(text, armoured, keyring, source.signed_by, what)
    except BuildError as error:
        raise BuildError(
            error.message.replace("suite.signed_by", f"sources.{source.name}.signed_by"),
            hint="use another address; where you know a key to be right, add its fingerprint to "
            f"sources.{source.name}.signed_by",
            exit=Exit.SOURCE,
        ) from None
