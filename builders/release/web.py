# SPDX-License-Identifier: GPL-2.0-or-later
"""The facts of a release as its page has them, gathered from what the release is made of."""

from __future__ import annotations

import json
import posixpath
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from builders.debkit.deb import Deb
from builders.proofs.boot.proof import Proof
from builders.release import page
from builders.release.facts import Build, Packed
from builders.release.layout import KEY
from builders.release.repository import KEY_APART, KEYRING
from builders.release.signing import TRIAL_DAYS, Signer

PAGE = "index.html"
_FOLDERS = 8  # of a package that the page shows
_APT_KEY = {"wheezy", "jessie"}  # whose apt knows no signed-by


def html(
    folder: Path,
    builds: Sequence[Build],
    record: Mapping[str, Any],
    booted: Sequence[Proof],
    url: str,
    signer: Signer,
) -> bytes:
    """The page of the release in `folder`, all other files of which are there.

    record: what release.json says. url: where it will be served, "" where nobody said. signer: who
    signs it.
    """
    builds = sorted(builds, key=lambda build: build.target != "xen")  # the hypervisor first
    recipe = builds[0].recipe
    packages = [package for build in builds for package in build.packages]
    flavours = [b.target.partition("-")[2] for b in builds if b.target.startswith("kernel-")]
    tool, commit = record["tool"]["version"], record["tool"]["commit"]
    abouts = {(about["target"], about["version"]): about for about in record["builds"]}
    new = [abouts.pop((build.target, build.version)) for build in builds]
    return page.render(
        page.Facts(
            recipe=recipe.name,
            summary=recipe.summary,
            suite=recipe.suite.name,
            flavour=", ".join(flavours),
            tool=f"dom0-debs {tool}" + (f" ({commit[:12]})" if commit else ""),
            made=record["epoch"],
            packages=sorted(
                (_packed(package, folder) for package in packages), key=lambda p: p.optional
            ),
            inputs=_inputs(builds),
            overrides=sorted({o for build in builds for o in build.overrides}),
            changed=sorted({line for build in builds for line in build.changed}),
            findings=list(_findings(folder, builds)),
            boots=[_boot(one, folder) for one in booted],
            spans=_spans(builds),
            options=recipe.audit.kernel_options,
            address=url,
            install=_install(recipe.suite.name, url, packages),
            image=len(builds[0].installed),
            documents=[_documents(about) for about in new],
            older=[f"{about['source']} {about['version']}" for about in abouts.values()],
            missing=record["missing"],
            fingerprint=signer.fingerprint,
            trial=TRIAL_DAYS if signer.ephemeral else 0,
        )
    ).encode()


def _install(suite: str, url: str, packages: Iterable[Packed]) -> list[str]:
    """Shell lines that add the repository with its key to a machine, and install the packages.

    url: "" where nobody said where it will be served: then the .sources file names a folder here.
    """
    names = [p.control["Package"] for p in packages if not _optional(p.control["Package"])]
    kernels = [name for name in names if name.startswith("linux-image-")]
    others = [name for name in names if name not in kernels]
    address = url or "ADDRESS"
    if suite in _APT_KEY:
        lines = [
            f"wget -O - {address}/{KEY}.asc | apt-key add -",
            f"echo 'deb {address} {suite} main' >/etc/apt/sources.list.d/{KEY}.list",
        ]
    else:
        place = f"/etc/apt/sources.list.d/{KEY}.sources"
        lines = [f"wget -O {KEYRING} {address}/{KEY}.gpg"] if suite in KEY_APART else []
        lines.append(f"wget -O {place} {address}/{KEY}.sources")
        lines += [] if url else [f"sed -i 's|^URIs: .*|URIs: {address}|' {place}"]
    choices = [" ".join([*others, kernel]) for kernel in kernels] or [" ".join(others)]
    lines += ["apt-get update", f"apt-get install {choices[0]}"]
    return lines + [f"# or: apt-get install {other}" for other in choices[1:]]


def _optional(name: str) -> bool:
    """Whether a package is for those who look into the others, or build on them."""
    return name.endswith(("-dbgsym", "-dbg")) or name.startswith("linux-headers-")


def _packed(package: Packed, folder: Path) -> page.Packed:
    control = package.control
    sizes = {
        entry.path: entry.info.size
        for entry in Deb.open(package.path).index.entries
        if entry.info.isreg()
    }
    return page.Packed(
        str(next(folder.rglob(package.path.name)).relative_to(folder)),
        control["Package"],
        control["Version"],
        control["Architecture"],
        control.get("Description", "").partition("\n")[0],
        package.size,
        package.sha256,
        sum(sizes.values()),
        _folders(sizes),
        _optional(control["Package"]),
    )


def _folders(sizes: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """The largest folders of a package, by what lies anywhere below them."""
    sizes_below: Counter[str] = Counter()
    for path, size in sizes.items():
        parts = posixpath.dirname(path).split("/")
        # /usr/lib/xen and /usr/share/doc tell something, and so does /boot.
        sizes_below["/".join(parts[: 4 if parts[1:2] == ["usr"] else 3])] += size
    return tuple(sorted(sizes_below.items(), key=lambda item: (-item[1], item[0]))[:_FOLDERS])


def _documents(about: Mapping[str, Any]) -> page.Documents:
    """The links to what is said of a build."""
    links = [
        (name, path)
        for suffix, name in _DOCUMENTS.items()
        for path in about["files"]
        if path.endswith(suffix)
    ]
    audit = [("audit", path) for path in about["files"] if path.startswith("audit/")]
    return page.Documents(f"{about['source']} {about['version']}", [*links, *audit])


_DOCUMENTS = {
    ".provenance.json": "provenance (SLSA, in-toto)",
    ".cdx.json": "bill of materials (CycloneDX)",
    ".spdx.json": "bill of materials (SPDX)",
    ".buildinfo": ".buildinfo",
    ".changes": ".changes",
}
_KINDS = ("source", "patch", "file", "recipe")


def _inputs(builds: Iterable[Build]) -> list[page.Input]:
    inputs: dict[page.Input, None] = {}
    for build in builds:
        of_build = [
            page.Input("source", file.name, origin.version, file.sha256)
            for origin in build.origins
            for file in origin.files
        ]
        of_build += [page.Input("patch", m.name, "", m.sha256) for m in build.patches]
        of_build += [page.Input("file", m.name, "", m.sha256) for m in build.fragments]
        of_build += [page.Input("recipe", m.name, "", m.sha256) for m in build.recipe_files]
        inputs |= dict.fromkeys(of_build)
    return sorted(inputs, key=lambda i: _KINDS.index(i.kind))


def _findings(folder: Path, builds: Iterable[Build]) -> Iterable[page.Finding]:
    """What the audits found; what one rule says of many files of a package is said once."""
    for build in builds:
        path = folder / "audit" / f"{build.base}.json"
        document: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for package in document["packages"]:
            groups: dict[tuple[str, str, str], list[str]] = {}
            for finding in package["findings"]:
                key = (finding["severity"], finding["rule"], finding["message"])
                groups.setdefault(key, []).append(finding["subject"])
            for (severity, rule, message), subjects in groups.items():
                more = f" and {len(subjects) - 1} more" if len(subjects) > 1 else ""
                colon = "" if message.startswith("and ") else ":"
                where = f"{subjects[0]}{more}{colon} " if subjects[0] else ""
                yield page.Finding(severity, rule, package["package"], where + message)


_BOOTS = {
    "boot": "The proof",
    "boot-guest-pv": "With a PV guest, which is handed the card",
    "boot-guest-pvh": "With a PVH guest",
    "boot-guest-hvm": "With an HVM guest, which is handed three cards",
    "boot-efi-grub": "By UEFI, with GRUB",
    "boot-efi-xen": "By UEFI, with xen.efi",
    "boot-efi-unified": "By UEFI, with a unified image",
    "boot-secure-unified": "Under Secure Boot, with a signed unified image",
    "boot-secure-xen": "Under Secure Boot, with a signed xen.efi and kernel",
    "boot-secure-unsigned": "Control: not signed, under Secure Boot",
    "boot-secure-changed": "Control: one bit changed, under Secure Boot",
    "boot-hvm-without-iommu": "Control: Xen has no IOMMU for an HVM guest",
    "boot-hvm-card-in-use": "Control: dom0 holds the HVM guest's cards",
    "boot-hvm-without-device-model": "Control: no device model for an HVM guest",
    "boot-nothing-hidden": "Control: nothing is hidden",
    "boot-wrong-address": "Control: a wrong address is hidden",
}


def _boot(one: Proof, folder: Path) -> page.Boot:
    return page.Boot(
        _BOOTS.get(one.name, one.name),
        str(one.console.relative_to(folder)),
        one.seconds,
        [
            page.Checked(
                check["name"], check["good"], check["name"] in one.must_fail, check["seen"]
            )
            for check in one.checks
        ],
    )


def _spans(builds: Iterable[Build]) -> list[page.Span]:
    # An image that was in the engine already took no time.
    stages = {(o.stage, o.key): o for build in builds for o in build.stages if o.seconds}
    return [page.Span(o.stage, o.ended, o.seconds) for o in stages.values()]
