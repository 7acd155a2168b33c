# SPDX-License-Identifier: GPL-2.0-or-later
"""The auditor's rules on packages that we did not make, and on poor ones of known faults.

    python -m benchmarks.calibrate [FOLDER] [--markdown]

Debian's own packages are fetched by the box's apt (apt-get download, nothing is installed), into
FOLDER where one is named: what lies there already is taken as it is. On them an error is a false
alarm until shown otherwise, and the exit status is 1 where there is one. The poor ones are
packed by dpkg-deb from a tree, as fpm and checkinstall leave them, and each fault has to be found.
Dependencies are held against the suite of the box.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from builders.debkit import audit
from builders.debkit.audit.archive import Archive, of_box
from builders.debkit.audit.expectations import Expectations
from builders.debkit.audit.model import Report, Severity

# A kernel, libraries, programs, services, games, Python, Perl, Java, fonts, documents, headers.
PACKAGES = [
    "linux-image-amd64",
    "libc6",
    "libgtk-3-0",
    "libssl3",
    "libssl-dev",
    "libperl5.36",
    "perl-base",
    "python3-numpy",
    "python3-yaml",
    "supertux",
    "nethack-console",
    "emacs-nox",
    "vim",
    "git",
    "systemd",
    "udev",
    "openssh-server",
    "cron",
    "apache2",
    "apache2-bin",
    "nginx-common",
    "postfix",
    "ssl-cert",
    "sudo",
    "passwd",
    "apt",
    "dpkg",
    "dkms",
    "coreutils",
    "grub-common",
    "grub-pc-bin",
    "fonts-dejavu-core",
    "python3-doc",
    "bash-doc",
    "openjdk-17-jre-headless",
    "xen-hypervisor-4.17-amd64",
    "xen-utils-4.17",
    "xen-utils-common",
    "libxenmisc4.17",
]

# What the poor packages have to be found out for.
FAULTS = {
    "fpm": {
        *("copyright-missing", "changelog-missing", "etc-not-conffile", "path-outside-fhs"),
        *("control-field", "control-value", "world-writable", "script-without-set-e"),
        *("unregistered-service", "missing-dependency", "unknown-dependency", "leftover-file"),
    },
    "checkinstall": {
        *("file-in-usr-local", "document-outside", "uncompressed-document", "not-executable"),
        *("wrong-owner", "python-cache", "python-dependency", "link-form", "volatile-path"),
        *("relation-syntax", "script-syntax", "copyright-missing"),
    },
}


def fetch(folder: Path) -> None:
    """Packages of the suite that are not in `folder` yet; those that it has not are left out."""
    for package in PACKAGES:
        name = package
        if package == "linux-image-amd64":
            shown = _apt("apt-cache", "depends", package, folder=folder)
            depends = [x.split()[-1] for x in shown.splitlines() if x.strip().startswith("Depends")]
            name = depends[0] if depends else package
        if not list(folder.glob(f"{name}_*.deb")):
            _apt("apt-get", "download", name, folder=folder)


def _apt(*command: str, folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"not fetched: {command[-1]}", file=sys.stderr)
    return done.stdout


def poor(folder: Path) -> dict[str, Path]:
    """Two packages with the faults that their makers are known for; name to path."""
    made = {}
    for name, build in (("fpm", _like_fpm), ("checkinstall", _like_checkinstall)):
        tree = folder / name
        build(tree)
        made[name] = folder / f"{name}.deb"
        owner = ["--root-owner-group"] if name == "fpm" else []
        subprocess.run(
            ["dpkg-deb", "--nocheck", *owner, "-b", str(tree), str(made[name])],
            check=True,
            capture_output=True,
        )
    return made


def _put(tree: Path, path: str, text: str | bytes, mode: int = 0o644) -> None:
    file = tree / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    file.chmod(mode)


def _control(tree: Path, text: str) -> None:
    _put(tree, "DEBIAN/control", text)
    (tree / "DEBIAN").chmod(0o755)


def _like_fpm(tree: Path) -> None:
    _control(
        tree,
        "Package: tool\nVersion: 1.0\nLicense: unknown\nVendor: root@box\nArchitecture: amd64\n"
        "Maintainer: <root@box.localdomain>\nInstalled-Size: 10\nDepends: libnothere9\n"
        "Section: default\nPriority: extra\nHomepage: http://example.com/no-uri-given\n"
        "Description: no description given\n",
    )
    _put(tree, "DEBIAN/postinst", "#!/bin/sh\necho installed\n", 0o755)
    _put(tree, "srv/tool/data", "1")
    _put(tree, "etc/tool.conf", "a=1\n", 0o666)
    _put(tree, "usr/bin/tool", Path("/bin/ls").read_bytes(), 0o755)
    _put(tree, "usr/share/tool/.git/config", "[core]\n")
    _put(
        tree,
        "lib/systemd/system/tool.service",
        "[Service]\nExecStart=/usr/bin/tool\n[Install]\nWantedBy=multi-user.target\n",
    )


def _like_checkinstall(tree: Path) -> None:
    _control(
        tree,
        "Package: prog\nVersion: 20260101-1\nArchitecture: amd64\nMaintainer: a <a@example.org>\n"
        "Provides: prog (>= 1)\nDescription: Package created with checkinstall\n more\n",
    )
    _put(tree, "DEBIAN/prerm", "#!/bin/sh\nset -e\nif true; then\n", 0o755)
    _put(tree, "usr/local/bin/prog", "#!/bin/sh\n", 0o755)
    _put(tree, "usr/bin/helper", "text\n")
    _put(tree, "usr/man/man1/prog.1", ".TH PROG 1\n")
    _put(tree, "usr/share/man/man1/prog.1", ".TH PROG 1\n")
    _put(tree, "usr/lib/python3/dist-packages/prog.py", "x = 1\n")
    _put(tree, "usr/lib/python3/dist-packages/__pycache__/prog.cpython-311.pyc", b"\0" * 16)
    _put(tree, "var/run/prog.pid", "1\n")
    (tree / "usr/bin/prog").symlink_to("/usr/share/prog")
    for path in (tree / "usr/local").rglob("*"):
        _give_away(path)


def _give_away(path: Path) -> None:
    try:
        os.chown(path, 1000, 1000)
    except PermissionError:
        print("wrong-owner needs root to be made", file=sys.stderr)


def check(path: Path, archive: Archive | None) -> tuple[Report, float]:
    """The report on a package, and its seconds."""
    start = time.monotonic()
    report = audit.audit(path, Expectations(archive=archive))
    return report, time.monotonic() - start


def _rules(report: Report, severity: Severity) -> str:
    counts = Counter(f.rule for f in report.findings if f.severity is severity)
    return ", ".join(f"{name} ({n})" if n > 1 else name for name, n in sorted(counts.items()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--markdown", action="store_true", help="as the table of docs/audit.md")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="calibrate-") as name:
        folder = (arguments.folder or Path(name)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        fetch(folder)
        suite = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
        archive = of_box(suite, Path(name) / "suites") if suite else None
        failed = False
        form = "| {} | {:.1f} | {} | {} |" if arguments.markdown else "{:<60} {:>5.1f} s  {} {}"
        for path in sorted(folder.glob("*.deb")):
            report, seconds = check(path, archive)
            errors = _rules(report, Severity.ERROR)
            warnings = _rules(report, Severity.WARNING)
            failed = failed or bool(errors)
            shown = f"{report.package} {report.version}"
            print(form.format(shown, seconds, errors and f"ERRORS: {errors}", warnings))
        for kind, path in poor(Path(name)).items():
            report, _ = check(path, archive)
            missed = FAULTS[kind] - {f.rule for f in report.findings}
            failed = failed or bool(missed)
            told = len({f.rule for f in report.findings})
            print(f"like {kind}: {told} rules, missed: {', '.join(sorted(missed)) or 'none'}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
