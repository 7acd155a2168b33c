# SPDX-License-Identifier: GPL-2.0-or-later
"""shellcheck over every shell script of the project: `python -m tests.shell`."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from builders import ROOT

_SHEBANG = re.compile(rb"#! ?(/usr/bin/env |/bin/busybox )?(/\S*/)?(ba|da)?sh\s")
_NOT_OURS = {".git", ".hypothesis", ".venv", "artifacts"}


def scripts(root: Path = ROOT) -> Iterator[Path]:
    """The files below `root` that are called *.sh, or whose first line names a shell."""
    for path in sorted(root.iterdir()):
        if path.name in _NOT_OURS or path.match(".*_cache"):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from scripts(path)
        elif path.is_file() and (path.suffix == ".sh" or _names_shell(path)):
            yield path


def _names_shell(path: Path) -> bool:
    with path.open("rb") as stream:
        return bool(_SHEBANG.match(stream.read(80)))


def check(root: Path = ROOT, *options: str) -> subprocess.CompletedProcess[str]:
    """What shellcheck says of the scripts below `root`; status 1 where it found something."""
    program = Path(sys.executable).with_name("shellcheck")
    return subprocess.run(
        [program, "--format", "gcc", *options, *(path.relative_to(root) for path in scripts(root))],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )


if __name__ == "__main__":
    done = check()
    sys.stdout.write(done.stdout + done.stderr)
    sys.exit(done.returncode)
