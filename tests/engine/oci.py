# SPDX-License-Identifier: GPL-2.0-or-later
"""A real registry on loopback."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

CONFIG = """
version: 0.1
storage:
  filesystem:
    rootdirectory: {folder}/data
  delete:
    enabled: true
http:
  addr: 127.0.0.1:{port}
"""


def install(package: str, program: str) -> None:
    """See to it that a program of Debian's is here; skip the test where it can't be."""
    if shutil.which(program) is None:
        if os.geteuid() != 0:
            pytest.skip(f"{package} is not installed")
        command = ["apt-get", "install", "--yes", "--no-install-recommends", package]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)


def htpasswd(user: str, secret: str) -> str:
    """A line that lets somebody in, as docker-registry reads it."""
    install("apache2-utils", "htpasswd")
    command = ["htpasswd", "-nbB", user, secret]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class RealRegistry:
    """A docker-registry whose data lies in `folder`; its address stays the same."""

    def __init__(self, folder: Path, more: str = "") -> None:
        install("docker-registry", "docker-registry")
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        (folder / "config.yml").write_text(CONFIG.format(folder=folder, port=self.port) + more)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["docker-registry", "serve", str(self.folder / "config.yml")],
                stdout=log,
                stderr=log,
            )
        for _ in range(100):
            try:
                with urllib.request.urlopen(f"http://{self.address}/v2/", timeout=5):
                    return
            except urllib.error.HTTPError:  # it wants to know who asks
                return
            except OSError:
                time.sleep(0.1)
        pytest.fail((self.folder / "log").read_text()[-2000:])

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process:
            self._process.kill()
            self._process.wait(30)
            self._process = None

    def blobs(self) -> list[Path]:
        """The files that hold its blobs."""
        return sorted(self.folder.glob("data/docker/registry/v2/blobs/sha256/*/*/data"))
