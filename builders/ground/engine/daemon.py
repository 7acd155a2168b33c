# SPDX-License-Identifier: GPL-2.0-or-later
"""The local Docker daemon: whether it answers, and starting it where it does not."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from builders.errors import BuildError, Exit
from builders.ground.engine import box
from builders.progress import Reporter, Task

_PATIENCE = 60.0  # seconds for a daemon to answer


@dataclass(frozen=True)
class Daemon:
    """Where the box's daemon keeps its things; the defaults are those of dockerd(8).

    arguments: what dockerd is started with besides.
    """

    socket: Path = Path("/var/run/docker.sock")
    pid: Path = Path("/var/run/docker.pid")
    exec_root: Path = Path("/var/run/docker")
    containerd: Path = Path("/run/containerd/containerd.sock")
    log: Path = Path("/var/log/dockerd.log")
    lock: Path = Path("/run/dom0-debs-engine.lock")
    systemd: Path = Path("/run/systemd/system")  # sd_booted(3)
    arguments: tuple[str, ...] = ()


def answers(path: Path, timeout: float = 5.0) -> bool:
    """Whether an engine answers on the Unix socket `path` within `timeout` seconds."""
    try:
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(timeout)
            peer.connect(str(path))
            peer.sendall(b"GET /_ping HTTP/1.0\r\nHost: localhost\r\n\r\n")
            return b" 200 " in peer.recv(64)
    except OSError:
        return False


def start(
    daemon: Daemon,
    reporter: Reporter,
    setup: bool | None = None,
    patience: float = _PATIENCE,
) -> None:
    """Have the box's daemon answer: install it if it is missing, start it if it is down.

    setup: whether the box may be changed; None asks the environment.
    patience: seconds that a started daemon has to answer.
    Raises BuildError (Exit.ENGINE) with the command to run where this is not
    allowed, and with the end of the daemon's log where it does not come up.
    """
    absent = box.command("dockerd") is None
    obstacle = _obstacle(setup, absent)
    if obstacle:
        raise BuildError(
            f"no container engine answers on {daemon.socket}, and {obstacle}",
            hint=_by_hand(daemon, absent),
            exit=Exit.ENGINE,
        )
    with box.exclusive(daemon.lock, reporter, "brings the engine up"):
        if answers(daemon.socket):
            return
        if absent:
            # The clean root is needed next in any case: one apt-get run for both.
            box.ensure_tools(["docker.io", "mmdebstrap"], reporter, setup)
        if daemon.systemd.is_dir():
            _start_unit(daemon, reporter, patience)
        else:
            _start_process(daemon, reporter, patience)


def _obstacle(setup: bool | None, absent: bool) -> str:
    if absent:
        why = box.install_obstacle(setup)
        return f"docker.io is not installed: {why}" if why else ""
    if os.geteuid() != 0:
        return "starting dockerd needs root"
    if not box.setup_allowed(setup):
        return f"setup is off (--no-setup or {box.SETUP}=no)"
    return ""


def _by_hand(daemon: Daemon, absent: bool) -> str:
    sudo = box.as_root()
    if daemon.systemd.is_dir():
        begin = f"{sudo}systemctl enable --now docker"
    elif sudo:
        begin = f"sudo sh -c 'setsid dockerd >{daemon.log} 2>&1 &'"
    else:
        begin = f"setsid dockerd >{daemon.log} 2>&1 &"
    packages = box.missing(["docker.io", "mmdebstrap"]) if absent else []
    steps = f"{box.install_command(packages)} && {begin}" if packages else begin
    return f"{steps}   (or name another engine in DOCKER_HOST)"


def _start_unit(daemon: Daemon, reporter: Reporter, patience: float) -> None:
    reporter.line("starting the engine: systemctl enable --now docker")
    process = subprocess.run(
        ["systemctl", "enable", "--now", "docker"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    with reporter.work("engine") as task:
        if process.returncode == 0 and _wait(daemon, lambda: True, patience, task):
            return
    journal = subprocess.run(
        ["journalctl", "--no-pager", "-o", "cat", "-n", "15", "-u", "docker"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    raise BuildError(
        "systemd did not bring the engine up: "
        + (
            box.tail(process.stderr, 1)
            or f"it did not answer on {daemon.socket} in {patience:.0f} s"
        ),
        hint="journalctl -u docker has all of it; mend the cause and run the same command again",
        excerpt=box.tail(journal.stdout),
        exit=Exit.ENGINE,
    )


def _start_process(daemon: Daemon, reporter: Reporter, patience: float) -> None:
    running = _owner(daemon.pid, "dockerd")
    if running is not None:
        reporter.line(f"dockerd runs already (pid {running}); waiting for its answer")
        with reporter.work("engine") as task:
            if _wait(daemon, lambda: alive(running, "dockerd"), patience, task):
                return
        if alive(running, "dockerd"):
            raise BuildError(
                f"dockerd (pid {running}) does not answer on {daemon.socket}",
                hint=f"look at its log, stop it (kill {running}), and run the same command again",
                exit=Exit.ENGINE,
            )
        # It was on its way out.
    _clear_remains(daemon, reporter)
    dockerd = box.command("dockerd") or "dockerd"
    reporter.line(f"starting the engine: dockerd, in the background, log in {daemon.log}")
    daemon.log.parent.mkdir(parents=True, exist_ok=True)
    with daemon.log.open("ab") as log:
        begin = log.tell()
        # Its own session: neither a Ctrl-C nor the end of the terminal reaches it.
        process = subprocess.Popen(
            [dockerd, *daemon.arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd="/",
            # It outlives the folder that TMPDIR names, and would fail every step from then on.
            env={name: value for name, value in os.environ.items() if name != "TMPDIR"},
            umask=0o022,
            start_new_session=True,
        )
    with reporter.work("engine") as task:
        up = _wait(daemon, lambda: process.poll() is None, patience, task)
    status = process.poll()
    if up:
        process.returncode = 0  # it is meant to outlive this object
        return
    with daemon.log.open("rb") as log:
        log.seek(begin)
        output = log.read().decode(errors="replace")
    if status is None:
        process.terminate()
        process.wait()
        fate = f"did not answer in {patience:.0f} s"
    elif status < 0:
        fate = f"was killed by signal {-status}"
    else:
        fate = f"ended with exit status {status}"
    reason, excerpt = _digest(output)
    raise BuildError(
        f"dockerd was started but {fate}{': ' if reason else ''}{reason}",
        hint="mend what its log says and run the same command again, "
        "or name another engine in DOCKER_HOST",
        log=daemon.log,
        excerpt=excerpt,
        exit=Exit.ENGINE,
    )


def _digest(log: str) -> tuple[str, str]:
    """The reason that dockerd gives for its end ("" for none), and the lines that led to it."""
    lines = log.splitlines()
    reasons = [line for line in lines if line.startswith("failed to ")]
    # Chatter of its gRPC client buries what went wrong.
    telling = [line for line in lines if "level=info" not in line and "level=debug" not in line]
    return reasons[-1] if reasons else "", box.tail("\n".join(telling or lines))


def _wait(daemon: Daemon, lives: Callable[[], bool], patience: float, task: Task) -> bool:
    deadline = time.monotonic() + patience
    task.show("waiting for the daemon")
    while (seconds := deadline - time.monotonic()) > 0:
        if answers(daemon.socket, min(seconds, 5.0)):
            return True
        if not lives():
            return False
        time.sleep(0.2)
    return False


def _clear_remains(daemon: Daemon, reporter: Reporter) -> None:
    """Remove what a daemon that was killed left behind and a new one stumbles over.

    dockerd refuses to start when its pid file names any live process, takes the
    process named in its containerd's pid file for containerd, and prefers the
    system's containerd when its socket merely exists.
    """
    for pid_file, name in (
        (daemon.pid, "dockerd"),
        (daemon.exec_root / "containerd" / "containerd.pid", "containerd"),
    ):
        if pid_file.exists() and _owner(pid_file, name) is None:
            reporter.line(f"removing {pid_file}, left by a {name} that is gone")
            pid_file.unlink(missing_ok=True)
    if daemon.containerd.exists():
        try:
            with socket.socket(socket.AF_UNIX) as peer:
                peer.settimeout(5.0)
                peer.connect(str(daemon.containerd))
        except ConnectionRefusedError:
            reporter.line(f"removing {daemon.containerd}, left by a containerd that is gone")
            daemon.containerd.unlink(missing_ok=True)
        except OSError:
            pass  # alive but slow, or not ours to judge: dockerd's log will tell


def _owner(pid_file: Path, name: str) -> int | None:
    """The live process `name` that a pid file names; None if there is none."""
    try:
        pid = int(pid_file.read_text().strip())
    except (OSError, ValueError):
        return None
    return pid if alive(pid, name) else None


def alive(pid: int, name: str) -> bool:
    """Whether `pid` is a live process called `name` (proc(5): stat has `pid (comm) state`)."""
    try:
        _, _, rest = Path(f"/proc/{pid}/stat").read_text().partition("(")
    except OSError:
        return False
    comm, _, state = rest.rpartition(")")
    return comm == name and state.split()[0] not in ("Z", "X")
