# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.errors import BuildError, Exit
from builders.ground.engine import daemon
from builders.ground.engine.connection import connect
from builders.ground.engine.daemon import Daemon, answers, start
from tests.unit.engines import Commands, Engine, Heard, gone, stale_socket

pytestmark = pytest.mark.slow

# A dockerd in miniature: binds as dockerd does (over a stale socket), answers
# /_ping and /version, writes its pid file, ends on SIGTERM.
DOCKERD = """
import os, signal, socket

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
sock, pid = map(Path, argv)
if pid.exists() and Path(f"/proc/{pid.read_text()}").exists():
    sys.exit(f"failed to start daemon: pid file found: {pid}")
pid.write_text(str(os.getpid()))
print(os.getsid(0) == os.getpid(), Path.cwd(), repr(sys.stdin.read()), flush=True)
sock.unlink(missing_ok=True)
with socket.socket(socket.AF_UNIX) as server:
    server.bind(str(sock))
    server.listen()
    while True:
        peer, _ = server.accept()
        if peer.recv(4096):
            body = b'{"ApiVersion": "1.41"}'
            peer.sendall(b"HTTP/1.1 200 OK\\r\\nConnection: close\\r\\n"
                         b"Content-Length: %d\\r\\n\\r\\n" % len(body) + body)
        peer.close()
"""
INSTALL = """
for package, tool in (("docker.io", "dockerd"), ("mmdebstrap", "mmdebstrap")):
    if package in argv:
        (bin / f"{tool}.deb").rename(bin / tool)
"""


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short path: a socket's path has at most 107 bytes (unix(7))."""
    with tempfile.TemporaryDirectory(prefix="d") as folder:
        yield Path(folder)


@pytest.fixture
def local(short: Path) -> Iterator[Daemon]:
    """A box whose daemon has its things in a folder of its own; what was started is ended."""
    made = Daemon(
        socket=short / "d.sock",
        pid=short / "d.pid",
        exec_root=short / "exec",
        containerd=short / "c.sock",
        log=short / "log" / "d.log",
        lock=short / "lock",
        systemd=short / "systemd",
        arguments=(str(short / "d.sock"), str(short / "d.pid")),
    )
    yield made
    if made.pid.exists():
        pid = int(made.pid.read_text())
        if daemon.alive(pid, "dockerd"):
            os.kill(pid, signal.SIGTERM)


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    """A box with an apt-get that knows docker.io and mmdebstrap, where we are root."""
    made = Commands(tmp_path)
    made.add("apt-get", INSTALL)
    made.add("dockerd.deb", DOCKERD)
    made.add("mmdebstrap.deb")
    monkeypatch.setenv("PATH", str(made.folder))
    monkeypatch.setattr("builders.ground.engine.box.SBIN", "")
    monkeypatch.setattr("builders.ground.engine.box.LOCK", tmp_path / "apt.lock")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for name in ("DOM0_DEBS_SETUP", "DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "config"))
    return made


def installed(commands: Commands) -> None:
    (commands.folder / "dockerd.deb").rename(commands.folder / "dockerd")


def test_a_missing_engine_is_installed_and_started_detached(
    commands: Commands, local: Daemon
) -> None:
    heard = Heard()
    client = connect(heard, box_daemon=local)
    assert client.api.api_version == "1.41"
    client.close()
    assert [call.split()[0] for call in commands.calls()] == ["apt-get", "dockerd"]
    assert commands.calls()[0].endswith("--no-install-recommends docker.io mmdebstrap")
    assert [line.split()[0] for line in heard.lines] == ["installing", "starting"]
    assert str(local.log) in heard.lines[1]
    # Own session, no folder held busy, nothing on standard input.
    assert local.log.read_text() == "True / ''\n"


def test_an_installed_engine_is_only_started(commands: Commands, local: Daemon) -> None:
    installed(commands)
    start(local, Heard())
    assert answers(local.socket)
    assert commands.calls() == [f"dockerd {local.socket} {local.pid}"]


def test_an_engine_that_answers_is_left_alone(commands: Commands, local: Daemon) -> None:
    installed(commands)
    with Engine(local.socket):
        start(local, Heard())
    assert commands.calls() == []


def test_the_remains_of_a_killed_engine_are_removed(commands: Commands, local: Daemon) -> None:
    installed(commands)
    local.pid.write_text(str(os.getpid()))  # the number has gone to another process
    containerd = local.exec_root / "containerd" / "containerd.pid"
    containerd.parent.mkdir(parents=True)
    containerd.write_text("not a number\n")
    stale_socket(local.containerd)
    stale_socket(local.socket)
    heard = Heard()
    start(local, heard)
    assert answers(local.socket)
    assert not containerd.exists()
    assert not local.containerd.exists()
    assert [line.split(",")[0] for line in heard.lines[:3]] == [
        f"removing {path}" for path in (local.pid, containerd, local.containerd)
    ]


def test_a_containerd_that_lives_is_not_touched(commands: Commands, local: Daemon) -> None:
    installed(commands)
    with Engine(local.containerd):
        start(local, Heard())
        assert local.containerd.exists()


def test_two_at_once_start_one_engine(commands: Commands, local: Daemon) -> None:
    installed(commands)
    threads = [threading.Thread(target=start, args=(local, Heard())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert answers(local.socket)
    assert len(commands.calls()) == 1


def test_an_engine_that_dies_shows_why(commands: Commands, local: Daemon) -> None:
    local.log.parent.mkdir()
    local.log.write_text("the log of another day\n")
    commands.add(
        "dockerd",
        "print('level=info msg=chatter\\n' * 30, 'level=error msg=\"no iptables\"', sep='')\n"
        "sys.exit('failed to start daemon: bridge: no iptables')",
    )
    with pytest.raises(BuildError) as caught:
        start(local, Heard())
    error = caught.value
    assert "exit status 1: failed to start daemon: bridge: no iptables" in error.message
    assert error.excerpt.splitlines() == [
        'level=error msg="no iptables"',
        "failed to start daemon: bridge: no iptables",
    ]
    assert error.log == local.log
    assert error.exit == Exit.ENGINE


def test_an_engine_that_is_killed_is_reported_with_its_signal(
    commands: Commands, local: Daemon
) -> None:
    commands.add("dockerd", "import os\nos.kill(os.getpid(), 9)")
    with pytest.raises(BuildError, match="killed by signal 9"):
        start(local, Heard())


def test_an_engine_that_never_answers_is_ended(
    commands: Commands, local: Daemon, short: Path
) -> None:
    commands.add(
        "dockerd",
        f"import os, time\n(Path({str(short)!r}) / 'me').write_text(str(os.getpid()))\n"
        "print('level=info msg=waiting', flush=True)\ntime.sleep(60)",
    )
    with pytest.raises(BuildError, match="did not answer in 1 s") as caught:
        start(local, Heard(), patience=1.0)
    assert caught.value.excerpt == "level=info msg=waiting"
    assert gone(int((short / "me").read_text()))


def test_an_engine_that_runs_but_hangs_is_named_and_left_running(
    commands: Commands, local: Daemon
) -> None:
    installed(commands)
    start(local, Heard())
    pid = int(local.pid.read_text())
    local.socket.unlink()
    with pytest.raises(BuildError, match=rf"dockerd \(pid {pid}\) does not answer") as caught:
        start(local, Heard(), patience=0.5)
    assert f"kill {pid}" in caught.value.hint
    assert daemon.alive(pid, "dockerd")
    assert len(commands.calls()) == 1


def test_an_engine_on_its_way_out_is_followed_by_a_new_one(
    commands: Commands, local: Daemon
) -> None:
    installed(commands)
    start(local, Heard())
    old = int(local.pid.read_text())
    local.socket.unlink()
    threading.Timer(0.5, os.kill, (old, signal.SIGTERM)).start()
    client = connect(Heard(), box_daemon=local)
    client.close()
    assert int(local.pid.read_text()) != old
    assert len(commands.calls()) == 2


@pytest.mark.parametrize(
    ("absent", "systemd", "uid", "setup", "why", "hint"),
    [
        (True, True, 1000, True, "needs root", "sudo apt-get install --no-install-recommends "
         "docker.io mmdebstrap && sudo systemctl enable --now docker"),
        (True, True, 0, False, "setup is off", "apt-get install --no-install-recommends "
         "docker.io mmdebstrap && systemctl enable --now docker"),
        (False, True, 1000, True, "starting dockerd needs root",
         "sudo systemctl enable --now docker"),
        (False, False, 1000, True, "needs root", "sudo sh -c 'setsid dockerd >{log} 2>&1 &'"),
        (False, False, 0, False, "setup is off", "setsid dockerd >{log} 2>&1 &"),
    ],
)  # fmt: skip
def test_what_may_not_be_done_is_told_as_a_command(
    commands: Commands,
    local: Daemon,
    monkeypatch: pytest.MonkeyPatch,
    absent: bool,
    systemd: bool,
    uid: int,
    setup: bool,
    why: str,
    hint: str,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    if not absent:
        installed(commands)
    if systemd:
        local.systemd.mkdir()
    with pytest.raises(BuildError, match=why) as caught:
        start(local, Heard(), setup)
    assert caught.value.hint.split("   (")[0] == hint.format(log=local.log)
    assert "DOCKER_HOST" in caught.value.hint
    assert str(local.socket) in caught.value.message
    assert caught.value.exit == Exit.ENGINE
    assert commands.calls() == []


def test_under_systemd_the_unit_is_started(commands: Commands, local: Daemon) -> None:
    installed(commands)
    local.systemd.mkdir()
    # What systemd does, in short: dockerd in a session of its own.
    commands.add(
        "systemctl",
        "import subprocess\n"
        f"subprocess.Popen([str(bin / 'dockerd'), *{list(local.arguments)!r}],\n"
        "    start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,\n"
        "    stderr=subprocess.DEVNULL)\n",
    )
    start(local, Heard())
    assert answers(local.socket)
    assert commands.calls()[0] == "systemctl enable --now docker"


def test_a_unit_that_fails_shows_the_journal(commands: Commands, local: Daemon) -> None:
    installed(commands)
    local.systemd.mkdir()
    commands.add("systemctl", "sys.exit('Job for docker.service failed.')")
    commands.add("journalctl", "print('failed to start daemon: no overlay')")
    with pytest.raises(BuildError, match=r"Job for docker\.service failed") as caught:
        start(local, Heard())
    assert caught.value.excerpt == "failed to start daemon: no overlay"
    assert "journalctl -u docker" in caught.value.hint


@pytest.mark.parametrize("name", ["dockerd", "a) S (b"])
def test_a_process_is_known_by_its_name(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(f"#!{sys.executable} -IS\nprint(flush=True)\ninput()\n")
    path.chmod(0o755)
    with subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert daemon.alive(process.pid, name)
        assert not daemon.alive(process.pid, "containerd")
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not daemon.alive(process.pid, name)  # a zombie


def test_answers_is_false_for_what_is_no_engine(short: Path) -> None:
    assert not answers(short / "none")
    stale_socket(short / "stale")
    assert not answers(short / "stale")
    with Engine(short / "sick", answer=(500, b"")):
        assert not answers(short / "sick")
    with Engine(short / "slow", delay=0.5):
        assert not answers(short / "slow", timeout=0.1)
    with Engine(short / "well"):
        assert answers(short / "well")
