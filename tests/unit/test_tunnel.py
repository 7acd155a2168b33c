# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.errors import BuildError, Exit
from builders.ground.engine.connection import connect
from builders.ground.engine.tunnel import Tunnel
from tests.unit.engines import Commands, Engine, Heard, gone

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]

# ssh in miniature: forwards the socket of -L until its standard input ends.
SSH = """
import socket, threading
if "nobody.example.org" in argv:
    sys.exit("nobody.example.org: Permission denied (publickey).")
here, there = argv[argv.index("-L") + 1].split(":")
(bin / "pid").write_text(str(__import__("os").getpid()))
def pump(a, b):
    while data := a.recv(65536):
        b.sendall(data)
    b.shutdown(socket.SHUT_WR)
def serve(server):
    while True:
        a, _ = server.accept()
        b = socket.socket(socket.AF_UNIX)
        try:
            b.connect(there)
        except OSError:
            sys.stderr.write("channel 1: open failed: connect failed: open failed\\n")
            sys.stderr.flush()
            a.close()
            continue
        threading.Thread(target=pump, args=(a, b), daemon=True).start()
        threading.Thread(target=pump, args=(b, a), daemon=True).start()
server = socket.socket(socket.AF_UNIX)
server.bind(here)
server.listen()
threading.Thread(target=serve, args=(server,), daemon=True).start()
print("Welcome to this machine", flush=True)
print(argv[-1].split()[1].rstrip(";"), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short path: a socket's path has at most 107 bytes (unix(7))."""
    with tempfile.TemporaryDirectory(prefix="t") as folder:
        yield Path(folder)


@pytest.fixture
def ssh(tmp_path: Path, short: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    commands = Commands(tmp_path)
    commands.add("ssh", SSH)
    monkeypatch.setenv("PATH", str(commands.folder))
    monkeypatch.setattr(tempfile, "tempdir", str(short))
    return commands


def test_an_engine_behind_ssh_is_used(
    ssh: Commands, short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Engine(short / "far.sock", api="1.43") as fake:
        url = f"ssh://me@far.example.org:2222{short}/far.sock"
        monkeypatch.setenv("DOCKER_HOST", url)
        client = connect(Heard())
        assert client.api.api_version == "1.43"
        assert client.ping()
        client.close()
        assert connect(Heard()).ping()  # over the same connection
    assert fake.asked.count("/version") == 2
    (call,) = ssh.calls()
    assert "-p 2222 -l me -- far.example.org " in call
    assert f":{short}/far.sock " in call


def test_a_tunnel_ends_with_close(ssh: Commands) -> None:
    tunnel = Tunnel("ssh://far.example.org")
    assert ":/var/run/docker.sock -- far.example.org " in ssh.calls()[0]
    pid = int((ssh.folder / "pid").read_text())
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(tunnel.socket))
    tunnel.close()
    assert gone(pid)
    assert not tunnel.socket.parent.exists()


def test_a_tunnel_ends_with_the_process_that_is_killed(
    ssh: Commands, short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(short))
    code = (
        "import time\nfrom builders.ground.engine.tunnel import Tunnel\n"
        "t = Tunnel('ssh://far.example.org')\nprint('up', flush=True)\ntime.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        pid = int((ssh.folder / "pid").read_text())
        os.kill(pid, 0)
        process.send_signal(signal.SIGKILL)
    assert gone(pid)
    (left,) = short.glob("dom0-debs-ssh-*")
    Tunnel("ssh://far.example.org").close()
    assert not left.exists()


@pytest.mark.usefixtures("ssh")
@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("ssh://nobody.example.org", "ssh failed: nobody.example.org: Permission denied"),
        ("ssh://far.example.org/no/such.sock", "no engine answers there: channel 1: open failed"),
        ("ssh://me:secret@far.example.org", "is not ssh://"),
        ("ssh://-oProxyCommand=x/", "is not ssh://"),
        ("ssh://far.example.org:no", "is not ssh://"),
    ],
)
def test_what_ssh_says_is_in_the_error(
    host: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(BuildError) as caught:
        connect(Heard())
    assert why in caught.value.message
    assert caught.value.hint
    assert caught.value.exit == Exit.ENGINE


def test_an_ssh_that_hangs_is_given_up(ssh: Commands) -> None:
    ssh.add("ssh", "import time\ntime.sleep(60)")
    with pytest.raises(OSError, match="took over 0 s"):
        Tunnel("ssh://far.example.org", patience=0.2)


def test_a_box_without_ssh_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("builders.ground.engine.box.SBIN", "")
    monkeypatch.setenv("DOCKER_HOST", "ssh://far.example.org")
    with pytest.raises(BuildError, match="no ssh client on this box") as caught:
        connect(Heard())
    assert "openssh-client" in caught.value.hint
