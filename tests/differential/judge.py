# SPDX-License-Identifier: GPL-2.0-or-later
"""dpkg, apt and debconf as judges of packages, in a scratch root.

Many packages go into one call of dpkg, which is what makes thousands affordable: so each has to
have a name and paths of its own. A verdict that matters is to be asked for again with `alone`,
as one package of a batch can be in the way of another.

By hand: python -m tests.differential.judge FILE.deb...
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from builders.debkit.deb.suites import SUITES

MEMORY = Path("/dev/shm")  # noqa: S108  # dpkg syncs all that it writes
# Packages of a batch may say that they conflict with each other's names.
_FORCE = "not-root,depends,bad-path,breaks,conflicts,remove-essential,remove-protected"
_ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
    "HOME": "/",
}
# What Essential packages bring: nothing else may be relied on before a dependency is there.
_PROGRAMS = ("sh", "dash", "bash", "perl", "env", "rm", "true", "false", "cat", "sed", "grep")
_CONFMODULE = 'for word in version get input go set stop; do eval "db_$word() { :; }"; done\n'
_BATCH = 128
_SECONDS = 30


@dataclass(frozen=True)
class Verdict:
    """What dpkg said of a package: "" where it took it, or the reason.

    unpack, configure: of `dpkg --unpack` and `dpkg --configure`. verify: of `dpkg --verify`,
    which dies of a malformed md5sums, or names files that changed. purge: of `dpkg --purge`.
    apt: of apt's reader.
    Nothing is asked that comes after a refusal.
    """

    unpack: str = ""
    configure: str = ""
    verify: str = ""
    purge: str = ""
    apt: str = ""

    @property
    def refusal(self) -> str:
        """The first of them, "" for a package that all take."""
        words = {
            "unpack": self.unpack,
            "configure": self.configure,
            "verify": self.verify,
            "purge": self.purge,
            "apt": self.apt,
        }
        return next((f"{name}: {text}" for name, text in words.items() if text), "")


@dataclass
class _Batch:
    """Packages that go through one scratch root, and what was said of each so far."""

    paths: Mapping[str, Path]  # by name
    unpack: dict[str, str] = field(default_factory=dict)
    configure: dict[str, str] = field(default_factory=dict)
    verify: dict[str, str] = field(default_factory=dict)
    purge: dict[str, str] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)  # dpkg gave up before it came to them


class Judge:
    """A folder in memory with a root file system that has what Essential packages bring.

    system: the root of a system of another suite, whose dpkg and apt are to judge; it is in
        memory too. "" for this one.
    """

    def __init__(self, system: str = "") -> None:
        memory: Path | None = MEMORY if os.access(MEMORY, os.W_OK) else None
        if system:
            memory = Path(system, "judges")
            memory.mkdir(exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix="judge-", dir=memory))
        self._system = system
        self._suite = ""
        # Scripts run in a chroot: without root, in a user namespace of one's own.
        self._prefix = [] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--"]
        if system:
            self._prefix += ["chroot", system]
        self._template = self.folder / "template"
        _make_root(self._template)

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def works(self) -> bool:
        """Whether this box lets the judge do its work."""
        done = subprocess.run(
            [*self._prefix, "chroot", self._inside(self._template), "/bin/sh", "-c", "true"],
            capture_output=True,
            check=False,
        )
        return not done.returncode

    def version(self) -> str:
        """Of dpkg."""
        done = subprocess.run(
            [*self._prefix, "dpkg", "--version"],
            capture_output=True,
            text=True,
            check=True,
            env=_ENVIRONMENT,
        )
        match = re.search(r"version (\S+)", done.stdout)
        return match[1] if match else ""

    def suite(self) -> str:
        """The suite that has this dpkg; the newest that has none after it."""
        if not self._suite:
            version = tuple(int(part) for part in re.findall(r"[0-9]+", self.version()))
            known = {tools.dpkg[:2]: name for name, tools in reversed(SUITES.items())}
            self._suite = known.get(version[:2], "sid")
        return self._suite

    def _inside(self, path: Path) -> str:
        """A path as the system sees it."""
        return str(path).removeprefix(self._system)

    def judge(self, packages: Mapping[str, Path], *, apt: bool = True) -> dict[str, Verdict]:
        """The verdicts on these packages, by whatever name; it is in their paths of their own."""
        verdicts: dict[str, Verdict] = {}
        names = list(packages)
        for at in range(0, len(names), _BATCH):
            batch = {name: packages[name] for name in names[at : at + _BATCH]}
            verdicts.update(self._batch(batch, apt=apt))
        return verdicts

    def alone(self, path: Path, name: str) -> Verdict:
        """The verdict on one package in a root of its own."""
        return self._batch({name: path}, apt=True)[name]

    def _batch(self, paths: Mapping[str, Path], *, apt: bool) -> dict[str, Verdict]:
        batch = _Batch(paths)
        left = dict(paths)
        while left:
            batch.lost = set()
            self._round(left, batch)
            if batch.lost >= left.keys():  # nothing came of it: one at a time
                for name in left:
                    single = _Batch({name: left[name]})
                    self._round({name: left[name]}, single)
                    batch.unpack[name] = single.unpack.get(name, "")
                    batch.configure[name] = single.configure.get(name, "")
                    batch.verify[name] = single.verify.get(name, "")
                    batch.purge[name] = single.purge.get(name, "")
                    if single.lost and not single.unpack.get(name):
                        batch.unpack[name] = "dpkg ended"
                break
            left = {name: left[name] for name in left if name in batch.lost}
        refused = self._apt([p for n, p in paths.items() if not batch.unpack.get(n)]) if apt else {}
        return {
            name: Verdict(
                batch.unpack.get(name, ""),
                batch.configure.get(name, ""),
                batch.verify.get(name, ""),
                batch.purge.get(name, ""),
                refused.get(path, ""),
            )
            for name, path in paths.items()
        }

    def _round(self, paths: Mapping[str, Path], batch: _Batch) -> None:
        """Take these through a new root."""
        root = self.folder / "root"
        shutil.rmtree(root, ignore_errors=True)
        subprocess.run(["cp", "-al", str(self._template), str(root)], check=True)
        status, output, errors = self._both(root, "--unpack", *map(self._inside, paths.values()))
        by_path = {self._inside(path): name for name, path in paths.items()}
        done: set[str] = set()
        for path, reason in _processed("archive", "unpack", errors):
            if (name := by_path.get(path)) is not None:
                batch.unpack[name] = reason
                done.add(name)
        # The names that dpkg has for them: a package may have another one than it should have.
        unpacked = _unpacked(output)
        have = _statuses(root)
        there = {
            name: key
            for name, path in paths.items()
            if name not in done and (key := unpacked.get(path.name, "")) in have
        }
        batch.lost = paths.keys() - done - there.keys()
        if batch.lost and len(paths) == 1:
            batch.unpack[next(iter(paths))] = _last(errors) or f"dpkg ended with {status}"
            batch.lost = set()
            return
        self._configure(root, there, batch)
        configured = {
            name: key
            for name, key in there.items()
            if not batch.configure.get(name) and name not in batch.lost
        }
        self._verify(root, configured, batch)
        self._purge(root, configured, batch)

    def _configure(self, root: Path, there: Mapping[str, str], batch: _Batch) -> None:
        if not there:
            return
        status, errors = self._run(root, "--configure", "-a")
        by_key = {key: name for name, key in there.items()}
        for key, reason in _processed("package", "configure", errors):
            if (name := by_key.get(key.partition(":")[0])) is not None:
                batch.configure[name] = reason
        if status <= 1:
            return
        # dpkg died: of its database, which one of these packages has spoilt.
        match = re.search(r"package '([^':]+)", errors)
        culprit = by_key.get(match[1]) if match else None
        if culprit is None and len(there) == 1:
            culprit = next(iter(there))
        if culprit is not None:
            batch.configure[culprit] = _last(errors)
            batch.lost |= there.keys() - {culprit}
        else:
            batch.lost |= set(there)

    def _purge(self, root: Path, there: Mapping[str, str], batch: _Batch) -> None:
        if not there:
            return
        _, errors = self._run(root, "--purge", *there.values())
        by_key = {key: name for name, key in there.items()}
        for action in ("purge", "remove"):
            for key, reason in _processed("package", action, errors):
                if (name := by_key.get(key.partition(":")[0])) is not None:
                    batch.purge[name] = reason

    def _verify(self, root: Path, there: Mapping[str, str], batch: _Batch) -> None:
        left = {key: name for name, key in there.items()}
        while left:
            status, output, errors = self._both(root, "--verify", *left)
            if status <= 1:
                for line in output.splitlines():
                    match = re.match(r"(?:missing |..5\S+) +(?:[a-z] )?(/.*)", line)
                    if match:
                        for name in (n for n in left.values() if f"/{n}" in match[1]):
                            batch.verify[name] = line
                return
            match = re.search(r"for package '([^':]+)", errors)
            if match is None or match[1] not in left:
                if len(left) == 1:
                    batch.verify[next(iter(left.values()))] = _last(errors)
                    return
                for key, name in left.items():  # who it is cannot be told
                    self._verify(root, {name: key}, batch)
                return
            batch.verify[left.pop(match[1])] = _last(errors)

    def _run(self, root: Path, *arguments: str) -> tuple[int, str]:
        status, _, errors = self._both(root, *arguments)
        return status, errors

    def _both(self, root: Path, *arguments: str) -> tuple[int, str, str]:
        done = _ended(
            [
                *self._prefix,
                "dpkg",
                f"--root={self._inside(root)}",
                f"--force-{_FORCE},unsafe-io",
                "--abort-after=1000000",
                *arguments,
            ]
        )
        words = (x.decode("utf-8", "backslashreplace") for x in (done.stdout, done.stderr))
        output, errors = words
        return done.returncode if done.returncode >= 0 else 2, output, errors

    def _apt(self, paths: Sequence[Path]) -> dict[Path, str]:
        """What apt's reader says of those that it refuses."""
        refused: dict[Path, str] = {}
        left = list(paths)
        state = self.folder / "apt"
        (state / "lists" / "partial").mkdir(parents=True, exist_ok=True)
        while left:
            done = subprocess.run(
                [
                    *self._prefix,
                    "apt-cache",
                    f"-oDir::State={self._inside(state)}",
                    "-oDir::State::status=/dev/null",
                    f"-oDir::Cache={self._inside(state)}",
                    "-oDir::Etc=/nonexistent",
                    *(f"--with-source={self._inside(path)}" for path in left),
                    "stats",
                ],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                env=_ENVIRONMENT,
                timeout=_SECONDS,
            )
            errors = done.stderr.decode("utf-8", "backslashreplace")
            if not done.returncode and "E: " not in errors:
                return refused
            named = [p for p in left if self._inside(p) in errors]
            if not named and len(left) > 1:  # halves, until one is left
                middle = len(left) // 2
                return refused | self._apt(left[:middle]) | self._apt(left[middle:])
            for path in named or left:
                refused[path] = next(
                    (x for x in errors.splitlines() if x.startswith("E: ")), "apt ended"
                )
            left = [p for p in left if p not in refused]
        return refused


def _ended(command: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
    """What a command said; one that waits for ever is ended, as if it had died."""
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_ENVIRONMENT,
        start_new_session=True,
    ) as process:
        try:
            output, errors = process.communicate(timeout=_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # dpkg-deb too, which holds the pipes
            output, errors = process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


def _make_root(root: Path) -> None:
    """A root with the programs of Essential packages, and an empty database of dpkg."""
    for name in (
        "usr/bin",
        "usr/lib",
        "usr/share/man",
        "usr/share/doc",
        "boot",
        "etc",
        "tmp",
        "dev",
        "proc",
    ):
        (root / name).mkdir(parents=True)
    for name in ("bin", "lib", "lib64", "sbin"):
        (root / "usr" / name).mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(f"usr/{name}")
    wanted: set[str] = set()
    for name in _PROGRAMS:
        if (program := shutil.which(name)) is None:
            continue
        shutil.copy2(Path(program).resolve(), root / "usr" / "bin" / name)
        listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
        wanted |= set(re.findall(r"(/\S+) \(0x", listed.stdout))
    for library in wanted:
        copy = root / library.lstrip("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(Path(library).resolve(), copy)
    for folder in ("/usr/lib/x86_64-linux-gnu/perl-base", "/usr/share/perl"):
        for module in ("strict.pm", "warnings.pm", "vars.pm", "warnings/register.pm"):
            source = Path(folder) / module
            if source.is_file():
                copy = root / folder.lstrip("/") / module
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, copy)
    (root / "etc/passwd").write_text(Path("/etc/passwd").read_text())
    (root / "etc/group").write_text(Path("/etc/group").read_text())
    os.close(os.open(root / "dev/null", os.O_CREAT, 0o666))
    admin = root / "var/lib/dpkg"
    for name in ("info", "updates", "triggers", "alternatives"):
        (admin / name).mkdir(parents=True)
    (root / "var/log").mkdir()
    for name in ("status", "available"):
        (admin / name).write_text("")
    # What debconf's own would ask nobody; its grammar is judged by `debconf`.
    (root / "usr/share/debconf").mkdir(parents=True)
    (root / "usr/share/debconf/confmodule").write_text(_CONFMODULE)
    # All that dpkg's tables have, so that a package for another machine is taken.
    known = subprocess.run(
        ["dpkg-architecture", "--list-known"], capture_output=True, text=True, check=False
    )
    native = subprocess.run(
        ["dpkg", "--print-architecture"], capture_output=True, text=True, check=True
    )
    names = [native.stdout.strip(), *known.stdout.split()]
    (admin / "arch").write_text("".join(f"{name}\n" for name in dict.fromkeys(names)))


def _processed(what: str, action: str, errors: str) -> Iterable[tuple[str, str]]:
    """The packages or archives that dpkg says it could not process, and why."""
    pattern = rf"dpkg: error processing {what} (.+?) \(--{action}\):\n((?: .*\n?)+)"
    for match in re.finditer(pattern, errors):
        yield match[1], " ".join(match[2].split())


def _last(errors: str) -> str:
    """The last error that dpkg told before it ended."""
    lines = [x for x in errors.splitlines() if x.strip() and not x.startswith("dpkg: warning")]
    return " ".join(lines[-2:])


def _statuses(root: Path) -> set[str]:
    """The names of the packages that are unpacked there."""
    text = (root / "var/lib/dpkg/status").read_bytes().decode("utf-8", "backslashreplace")
    have = set()
    for paragraph in text.split("\n\n"):
        name = re.search(r"^Package: (\S+)", paragraph, re.MULTILINE)
        state = re.search(r"^Status: \S+ \S+ (\S+)", paragraph, re.MULTILINE)
        if name and state and state[1] in ("unpacked", "installed", "triggers-awaited"):
            have.add(name[1])
    return have


def _unpacked(output: str) -> dict[str, str]:
    """File name to the name of the package in it, of those that dpkg says that it unpacks."""
    names: dict[str, str] = {}
    for chunk in output.split("Preparing to unpack ")[1:]:
        first, _, rest = chunk.partition(" ...\n")
        if match := re.search(r"^Unpacking ([^ :]+)(?::\S+)? \(", rest, re.MULTILINE):
            names[first.rpartition("/")[2]] = match[1]
    return names


def main(paths: Sequence[str]) -> None:
    """Tell the verdict on each of these files."""
    judge = Judge()
    try:
        for path in paths:
            package = subprocess.run(
                ["dpkg-deb", "-f", path, "Package"], capture_output=True, text=True, check=False
            )
            verdict = judge.alone(Path(path), package.stdout.strip() or "sample")
            print(f"{path}: {verdict.refusal or 'taken'}")
    finally:
        judge.close()


if __name__ == "__main__":
    main(sys.argv[1:])
