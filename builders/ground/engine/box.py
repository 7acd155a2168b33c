# SPDX-License-Identifier: GPL-2.0-or-later
"""The box itself: which host tools are there, and installing those that are not.

On an apt system, as root and with setup allowed, missing tools are installed and a
line says so. Otherwise the error names the command that installs them.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from builders import files
from builders.errors import BuildError, Exit
from builders.files import scratch
from builders.progress import Reporter

SETUP = "DOM0_DEBS_SETUP"  # "no": nothing is installed or started; set by ./inv --no-setup

# Debian package -> what shows that it is there: a command, or a file by its path.
PACKAGES = {
    "apt-utils": "apt-ftparchive",
    "binutils": "readelf",
    "chromium": "chromium",
    "debian-archive-keyring": "/usr/share/keyrings/debian-archive-keyring.gpg",
    "docker.io": "dockerd",
    "e2fsprogs": "mke2fs",
    "efitools": "flash-var",
    "fonts-dejavu-core": "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
    "gdisk": "sgdisk",
    "git": "git",
    "gnupg": "gpg",
    "gpgv": "gpgv",
    "lintian": "lintian",
    "mmdebstrap": "mmdebstrap",
    "mtools": "mcopy",
    "openssh-client": "ssh",
    "openssl": "openssl",
    "ovmf": "/usr/share/OVMF/OVMF_CODE_4M.fd",
    "qemu-system-x86": "qemu-system-x86_64",
    "qemu-utils": "qemu-img",
    "sbsigntool": "sbsign",
    "uidmap": "newuidmap",
    "xz-utils": "xz",
}
_COMMANDS = {proof: package for package, proof in PACKAGES.items()}
SBIN = "/usr/local/sbin:/usr/sbin:/sbin"
LOCK = Path("/run/dom0-debs.lock")
_TAIL = 15  # lines of a log that an error shows


def setup_allowed(setup: bool | None = None) -> bool:
    """Whether the box may be changed: `setup`; where that is None, DOM0_DEBS_SETUP decides."""
    return os.environ.get(SETUP) != "no" if setup is None else setup


def command(name: str) -> str | None:
    """The path of a command; the sbin folders count even where a user's PATH lacks them."""
    return shutil.which(name) or (shutil.which(name, path=SBIN) if SBIN else None)


def missing(names: Iterable[str]) -> list[str]:
    """The Debian packages of those `names` (packages or commands) that are not there, each once."""
    packages = [name if name in PACKAGES else _COMMANDS[name] for name in names]
    return [package for package in dict.fromkeys(packages) if not _present(PACKAGES[package])]


def ensure_tools(names: Iterable[str], reporter: Reporter, setup: bool | None = None) -> None:
    """Install the packages of the host tools that are missing.

    names: keys (packages) or values (commands, files) of PACKAGES.
    setup: whether that is allowed; None asks the environment (DOM0_DEBS_SETUP=no).
    Raises BuildError (Exit.ENGINE), with the command to run, where it can't
    install; KeyError for a name that PACKAGES lacks.
    """
    names = list(names)
    packages = missing(names)
    if not packages:
        return
    obstacle = install_obstacle(setup)
    if obstacle:
        raise BuildError(
            f"missing on this box: {', '.join(packages)}; {obstacle}",
            hint=install_command(packages),
            exit=Exit.ENGINE,
        )
    with exclusive(LOCK, reporter, "installs packages"):
        packages = missing(names)  # another run may just have done it
        if packages:
            _apt_install(packages, reporter)


def install_obstacle(setup: bool | None) -> str:
    """Why packages can't be installed here, in words; "" where they can."""
    if command("apt-get") is None:
        return "this is not an apt system"
    if os.geteuid() != 0:
        return "installing it needs root"
    if not setup_allowed(setup):
        return f"setup is off (--no-setup or {SETUP}=no)"
    return ""


def install_command(packages: Sequence[str]) -> str:
    """What a person runs to install Debian packages, or their kin elsewhere."""
    if command("apt-get") is None:
        return f"install what Debian calls {' and '.join(packages)} with this system's own tools"
    return f"{as_root()}apt-get install --no-install-recommends {' '.join(packages)}"


def as_root() -> str:
    """The prefix that a person needs before a command for root."""
    return "" if os.geteuid() == 0 else "sudo "


@contextmanager
def exclusive(lock: Path, reporter: Reporter, what: str) -> Iterator[None]:
    """Hold the lock file `lock` against other processes; the kernel frees it on any death."""
    held = files.hold(lock, make=True)
    if held is None:
        reporter.line(f"another run {what}; waiting for it")
    while held is None:  # once more where the last holder removed it
        held = files.hold(lock, make=True, wait=True)
    try:
        yield
    finally:
        os.close(held)


def tail(text: str, lines: int = _TAIL) -> str:
    """The last lines of a log."""
    return "\n".join(text.rstrip().splitlines()[-lines:])


def tethered(words: Sequence[str], number: str = "TERM") -> list[str]:
    """The command `words` as it gets a signal when the thread that starts it ends, however that is.

    number: of the signal, as setpriv(1) has it, without which the command is as it was.
    """
    setpriv = command("setpriv")
    return [setpriv, "--pdeathsig", number, *words] if setpriv else list(words)


# The shell stays: what it has started may not hand on a signal, and helpers of that hear of none.
_ALL_OF_IT = """trap 'trap - TERM; kill -TERM 0' TERM; "$@" & wait $!"""


def tethered_group(words: Sequence[str]) -> list[str]:
    """The same with SIGTERM for all that the command starts, too; it has to be in its own session.

    It reads nothing: its standard input is /dev/null.
    """
    return tethered(["/bin/sh", "-c", _ALL_OF_IT, "sh", *words])


def _present(proof: str) -> bool:
    return Path(proof).exists() if proof.startswith("/") else command(proof) is not None


def _apt_install(packages: Sequence[str], reporter: Reporter) -> None:
    # Recommends stay out: docker.io's are git, apparmor and the like. tini, which
    # an engine needs for --init, and iptables are Depends of docker.io.
    install = ["install", "-y", "--no-install-recommends", *packages]
    reporter.line(
        f"installing {' '.join(packages)} with apt-get (./inv --no-setup would not install it)"
    )
    with scratch("dom0-debs-apt-") as folder:
        _apt_logged(install, packages, folder / "log", reporter)
    absent = [package for package in packages if not _present(PACKAGES[package])]
    if absent:
        raise BuildError(
            f"apt-get installed {' '.join(absent)}, but {PACKAGES[absent[0]]} is still not there",
            hint="look at PATH, and at dpkg -L " + absent[0],
            exit=Exit.ENGINE,
        )


def _apt_logged(
    install: Sequence[str], packages: Sequence[str], log: Path, reporter: Reporter
) -> None:
    """Run apt-get(8); where it fails, its log is kept in a place that the error names."""
    with log.open("wb") as out, reporter.work("apt-get") as task:
        task.show("install", " ".join(packages))
        status = _apt_get(install, out.fileno())
        if status != 0:
            # No package lists yet (a fresh box), or lists older than the mirror.
            reporter.line("apt-get update: the package lists are missing or old")
            task.show("update")
            _apt_get(["update"], out.fileno())
            task.show("install", " ".join(packages))
            status = _apt_get(install, out.fileno())
    if status != 0:
        handle, copy = tempfile.mkstemp(prefix="dom0-debs-apt-", suffix=".log")
        os.close(handle)
        shutil.copyfile(log, copy)
        raise BuildError(
            f"apt-get could not install {' '.join(packages)} (exit status {status})",
            hint=f"mend what it says, then run the same command again, or: "
            f"apt-get update && {install_command(packages)}",
            log=Path(copy),
            excerpt=tail(log.read_text(errors="replace")),
            exit=Exit.ENGINE,
        )


def _apt_get(arguments: Sequence[str], out: int) -> int:
    process = subprocess.Popen(
        ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=120", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=subprocess.STDOUT,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"},
        # Out of the terminal's reach: a Ctrl-C must not kill dpkg half-way.
        start_new_session=True,
    )
    try:
        return process.wait()
    except BaseException:
        # apt-get(8) ends in an orderly way on SIGINT, after the package in hand.
        process.send_signal(signal.SIGINT)
        process.wait()
        raise
