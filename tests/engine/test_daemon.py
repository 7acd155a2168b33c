# SPDX-License-Identifier: GPL-2.0-or-later
"""The bring-up with a real dockerd: a second one beside the box's, with folders of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from builders.errors import BuildError
from builders.ground.engine import daemon
from builders.ground.engine.connection import connect
from builders.ground.engine.daemon import Daemon, start
from tests.unit.engines import Heard, gone

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="dockerd needs root"),
    pytest.mark.skipif(shutil.which("dockerd") is None, reason="the engine here is a remote one"),
]


@pytest.fixture
def local(bridge: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOM0_DEBS_SETUP"):
        monkeypatch.delenv(name, raising=False)
    # Not under pytest's folder: the path of a socket is short, and a leftover
    # mount of a daemon that did not end must not meet its cleaning.
    folder = Path(tempfile.mkdtemp(prefix="dom0-debs-daemon-"))
    monkeypatch.setenv("DOCKER_CONFIG", str(folder / "config"))
    made = Daemon(
        socket=folder / "d.sock",
        pid=folder / "d.pid",
        exec_root=folder / "exec",
        containerd=folder / "c.sock",
        log=folder / "d.log",
        lock=folder / "lock",
        systemd=folder / "no-systemd",
        arguments=(
            *("--host", f"unix://{folder}/d.sock", "--pidfile", f"{folder}/d.pid"),
            *("--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec"),
            *("--bridge", bridge, "--iptables=false", "--ip6tables=false", "--ip-masq=false"),
            *("--storage-driver", "vfs"),
        ),
    )
    yield made
    end(made, signal.SIGTERM)
    # dockerd binds its data folder onto itself, and a killed one leaves that. Only
    # the mount table tells: a bind mount has the device of the folder around it.
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if line.split()[4] == f"{folder}/data":
            subprocess.run(["umount", folder / "data"], check=True)
    shutil.rmtree(folder)


def end(local: Daemon, number: signal.Signals) -> None:
    """End the test's own daemon by the pid in its own file, and see it gone."""
    if local.pid.exists():
        pid = int(local.pid.read_text())
        if daemon.alive(pid, "dockerd"):
            os.kill(pid, number)
            for _ in range(100):
                # Our own child leaves a zombie, which is dead enough.
                if not daemon.alive(pid, "dockerd") or gone(pid, 0.1):
                    return
            pytest.fail(f"dockerd (pid {pid}) does not end")


def test_it_is_started_and_used_and_outlives_who_started_it(local: Daemon) -> None:
    code = (
        "from pathlib import Path, PosixPath\n"
        "from builders.ground.engine.daemon import Daemon, start\n"
        "from builders.progress import Silent\n"
        f"start({local!r}, Silent())\n"
    )
    starters = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) for _ in range(2)]
    assert [starter.wait(90) for starter in starters] == [0, 0]
    assert local.log.read_text().count("Daemon has completed initialization") == 1
    pid = int(local.pid.read_text())
    assert os.getsid(pid) == pid
    heard = Heard()
    client = connect(heard, box_daemon=local)
    assert client.info()["DockerRootDir"] == str(local.socket.parent / "data")
    client.close()
    assert heard.lines == []


def test_it_comes_back_after_a_kill_with_its_remains_in_the_way(local: Daemon) -> None:
    start(local, Heard())
    end(local, signal.SIGKILL)
    assert local.pid.exists()
    assert local.socket.exists()
    # The worst case: both numbers have gone to other processes meanwhile.
    local.pid.write_text(str(os.getpid()))
    containerd = local.exec_root / "containerd" / "containerd.pid"
    containerd.write_text(str(os.getpid()))
    heard = Heard()
    client = connect(heard, box_daemon=local)
    assert client.ping()
    client.close()
    assert len([line for line in heard.lines if line.startswith("removing ")]) == 2


def test_its_own_words_explain_why_it_does_not_start(local: Daemon) -> None:
    broken = replace(local, arguments=(*local.arguments[:-1], "no-such-driver"))
    with pytest.raises(BuildError, match=r"exit status 1: failed to start daemon: .*driver") as e:
        start(broken, Heard())
    assert "no-such-driver" in e.value.excerpt
    assert "level=info" not in e.value.excerpt
    assert e.value.log == local.log
