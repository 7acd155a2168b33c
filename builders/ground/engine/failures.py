# SPDX-License-Identifier: GPL-2.0-or-later
"""Exceptions of the engine's client as BuildError."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from builders.errors import BuildError, Exit


@contextmanager
def engine_errors(what: str) -> Iterator[None]:
    """Turn what the engine's client raises into an error that a user can act on."""
    import docker.errors
    import requests
    import urllib3

    try:
        yield
    except docker.errors.APIError as error:
        text = str(error.explanation or error)
        if "no space left" in text.lower():
            raise disk_full(what) from None
        raise BuildError(
            f"{what}: the engine refused: {text}",
            hint="./inv doctor looks at the engine",
            exit=Exit.ENGINE,
        ) from None
    except OSError as error:
        if isinstance(error, (requests.RequestException, ConnectionError)):
            raise _gone(what, error) from None
        where = f"{error.filename}: " if error.filename else ""
        raise BuildError(
            f"{what}: {where}{error.strerror or error} on this machine",
            hint="free some space there, or make it writable, and run it again: "
            "finished stages are kept",
            exit=Exit.ENGINE,
        ) from None
    except (docker.errors.DockerException, urllib3.exceptions.HTTPError, tarfile.TarError) as error:
        raise _gone(what, error) from None


def _gone(what: str, error: Exception) -> BuildError:
    return BuildError(
        f"{what}: the engine went away ({type(error).__name__}: {error})",
        hint="start it and run the same command again: finished stages are kept",
        exit=Exit.ENGINE,
    )


def disk_full(what: str, log: Path | None = None, excerpt: str = "") -> BuildError:
    """The error for an engine whose disk is full."""
    return BuildError(
        f"{what}: no space left on the engine's disk",
        hint="./inv clean --images removes what this tool left there; "
        "`docker system df` shows the rest. Finished stages are kept",
        log=log,
        excerpt=excerpt,
        exit=Exit.ENGINE,
    )
