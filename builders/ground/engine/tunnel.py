# SPDX-License-Identifier: GPL-2.0-or-later
"""An engine on another machine behind ssh, as a Unix socket on this one.

The engine's Python client speaks ssh only with a second ssh implementation
beside it, and not for the raw streams of attach and exec. OpenSSH forwards the
socket itself: one connection, the user's own ssh configuration and keys, and
every stream of the API works as on the box.
"""

from __future__ import annotations

import subprocess
import threading
import weakref
from contextlib import ExitStack
from urllib.parse import urlsplit

from builders.files import scratch
from builders.ground.engine import box

_READY = "dom0-debs-tunnel-ready"
_PATIENCE = 60.0  # seconds, with whatever ssh asks on the terminal


class Tunnel:
    """A forwarded socket; it lasts as long as this process or until close()."""

    def __init__(self, url: str, patience: float = _PATIENCE) -> None:
        """Open it. url: ssh://[USER@]HOST[:PORT][/PATH-OF-THE-REMOTE-SOCKET].

        patience: seconds for ssh to connect.
        Raises OSError with what ssh said, ValueError for a URL that is none.
        """
        form = f"{url} is not ssh://[USER@]HOST[:PORT][/SOCKET]"
        remote = urlsplit(url)
        try:
            port = remote.port
        except ValueError:
            raise ValueError(form) from None
        if not remote.hostname or remote.hostname.startswith("-") or remote.password:
            raise ValueError(form)
        ssh = box.command("ssh")
        if ssh is None:
            raise FileNotFoundError("there is no ssh client on this box")
        stack = ExitStack()
        folder = stack.enter_context(scratch("dom0-debs-ssh-"))
        self._clear = weakref.finalize(self, stack.close)  # at the end of the process, too
        self.socket = folder / "docker.sock"
        self._errors = folder / "ssh.log"
        arguments = [
            *("-T", "-S", "none"),  # a shared connection would keep the forward after our end
            *("-o", "ConnectTimeout=20", "-o", "ServerAliveInterval=30"),
            *("-o", "ExitOnForwardFailure=yes", "-o", "ClearAllForwardings=no"),
            *("-o", "StreamLocalBindMask=0177", "-o", "StreamLocalBindUnlink=yes"),
            *("-L", f"{self.socket}:{remote.path or '/var/run/docker.sock'}"),
        ]
        if port:
            arguments += ["-p", str(port)]
        if remote.username:
            arguments += ["-l", remote.username]
        # cat ends with its standard input, that is with this process, however it ends.
        arguments += ["--", remote.hostname, f"echo {_READY}; exec cat >/dev/null"]
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [ssh, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=False,  # ssh may ask on the terminal
            )
        timer = threading.Timer(patience, self._process.kill)
        timer.start()
        try:
            # A login script may say something first.
            ready = any(_READY.encode() in line for line in self._process.stdout or ())
        finally:
            timer.cancel()
        if not ready:
            said = self.said()
            self.close()
            raise OSError(said or f"ssh ended, or took over {patience:.0f} s")

    def said(self) -> str:
        """The last line that ssh wrote to its standard error."""
        return box.tail(self._errors.read_text(errors="replace"), 1)

    def close(self) -> None:
        """End ssh and remove the socket."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                stream.close()
        self._process.terminate()
        self._process.wait()
        self._clear()
