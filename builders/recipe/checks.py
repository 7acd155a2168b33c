# SPDX-License-Identifier: GPL-2.0-or-later
"""What the type of a key cannot say: the form of pins, and names that must lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

from builders import ROOT
from builders.recipe.corrections import OVERRIDES
from builders.recipe.model import (
    DebianPackage,
    DebianSource,
    GitSource,
    Pooled,
    Recipe,
    Suite,
    UrlSource,
)
from builders.recipe.schema import Reader, nearest

_NAME = re.compile(r"[a-z0-9][a-z0-9.+-]*")  # Policy 5.6.1, and safe as a file name
RECIPE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_INSTALLABLE = re.compile(  # what apt-get(8) install takes: name, architecture, version or suite
    r"[a-z0-9][a-z0-9.+-]*(:[a-z0-9-]+)?([=/][A-Za-z0-9.+:~-]+)?"
)


def is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long
        return False


def _leaves(path: str) -> bool:
    """Whether a relative path may lead out of the folder that it is relative to."""
    return path.startswith("/") or ".." in path.split("/")


def check(recipe: Recipe, reader: Reader) -> None:
    """What a type cannot say: the form of pins, and names that must lead somewhere."""
    for name, source in recipe.sources.items():
        key = f"sources.{name}"
        if not _NAME.fullmatch(name):
            raise reader.error(key, "is not a name", "use a-z, 0-9, '.', '+' and '-'")
        if isinstance(source, (UrlSource, GitSource)) and not source.urls:
            raise reader.error(f"{key}.urls", "is empty", "name at least one address")
        if isinstance(source, UrlSource) and not re.fullmatch(r"[0-9a-f]{64}", source.sha256):
            raise reader.error(
                f"{key}.sha256", "is not a sha256", "it has 64 lower-case hexadecimal digits"
            )
        if isinstance(source, GitSource) and not re.fullmatch(r"[0-9a-f]{40}", source.commit):
            raise reader.error(
                f"{key}.commit", "is not a commit", "it has 40 lower-case hexadecimal digits"
            )
        if isinstance(source, (DebianSource, DebianPackage)):
            for part in ("package", "version"):
                value = getattr(source, part)
                if not re.fullmatch(r"[A-Za-z0-9.+:~*?-]+", value) or value.startswith("-"):
                    raise reader.error(
                        f"{key}.{part}", f"{value!r} is no {part}", "see deb-version(7)"
                    )
        if isinstance(source, DebianSource) and source.pooled:
            _check_pooled(source.pooled, f"{key}.pooled", reader)
    used = {"xen.source": recipe.xen.source, "kernel.source": recipe.kernel.source}
    used |= {f"xen.place.{path}": name for path, name in recipe.xen.place.items()}
    if recipe.kernel.config:
        used["kernel.config"] = recipe.kernel.config
    for key, name in used.items():
        if name not in recipe.sources:
            raise reader.error(
                key,
                f"there is no source {name}" + nearest(name, recipe.sources),
                f"sources here: {', '.join(sorted(recipe.sources))}",
            )
    for table, paths in (("place", recipe.xen.place), ("files", recipe.xen.files)):
        for path in paths:
            if _leaves(path):
                raise reader.error(
                    f"xen.{table}.{path}", "leaves the tree", "name a path inside it"
                )
    if not _NAME.fullmatch(recipe.suite.name):
        raise reader.error("suite.name", "is no suite", "use its code name, such as bookworm")
    _check_suite(recipe.suite, reader)
    for key in ("packages", "build_dep"):
        for n, package in enumerate(getattr(recipe.builder, key)):
            if not _INSTALLABLE.fullmatch(package):
                raise reader.error(
                    f"builder.{key}[{n}]", f"{package!r} is no package", "one name in each string"
                )
    for limit in ("memory", "pids", "nofile", "disk"):
        if getattr(recipe.builder, limit) < 1:  # an engine takes 0 for no limit
            raise reader.error(f"builder.{limit}", "does not limit", "1 or more")
    if not recipe.kernel.flavours:
        raise reader.error("kernel.flavours", "is empty", "add [kernel.flavours.NAME]")
    for name, flavour in recipe.kernel.flavours.items():
        key = f"kernel.flavours.{name}"
        if not _NAME.fullmatch(name):
            raise reader.error(key, "is not a name", "use a-z, 0-9, '.', '+' and '-'")
        if flavour.base == "packaged" and not recipe.kernel.config:
            raise reader.error(
                f"{key}.base", "needs the suite's config", "say which source has it: kernel.config"
            )
        if flavour.base == "packaged" and not recipe.kernel.config_path.strip("/"):
            raise reader.error(
                "kernel.config_path", "is missing", "say where it lies in the package"
            )
        if not re.fullmatch(r"(-[a-z0-9.+]+)*", flavour.localversion):
            raise reader.error(
                f"{key}.localversion",
                f"{flavour.localversion!r} can't be part of a package name",
                "for example -dom0",
            )
        for fragment in flavour.fragments:
            if "/" in fragment or not is_file(ROOT / "configs" / "kernel" / fragment):
                raise reader.error(
                    f"{key}.fragments", f"no file configs/kernel/{fragment}", "correct the name"
                )
    for key, series in (
        ("xen.patches", recipe.xen.patches),
        ("kernel.patches", recipe.kernel.patches),
    ):
        if series and (_leaves(series) or not is_file(ROOT / "patches" / series / "series")):
            raise reader.error(key, f"no file patches/{series}/series", "correct the name")
    if recipe.suite.image and not re.search(r"@sha256:[0-9a-f]{64}$", recipe.suite.image):
        raise reader.error("suite.image", "is not pinned", "write name@sha256:digest")
    for kind in ("xen", "kernel"):
        if kind not in recipe.finish:
            raise reader.error(f"finish.{kind}", "is missing", f"add a table [finish.{kind}]")
    kinds = set()
    for kind, corrections in recipe.finish.items():
        for n, override in enumerate(corrections.overrides):
            key = f"finish.{kind}.overrides[{n}]"
            if problem := override.problem():
                raise reader.error(key, problem, "state the tag and, in a sentence, the reason")
            kinds.add(override.tag)
    if len(kinds) > OVERRIDES:
        raise reader.error(
            "finish", f"overrides {len(kinds)} kinds of tags", f"at most {OVERRIDES}: correct them"
        )


def _check_pooled(pooled: Pooled, key: str, reader: Reader) -> None:
    if not re.fullmatch(r"([0-9]+:)?[0-9][A-Za-z0-9.+~-]*", pooled.version):
        raise reader.error(f"{key}.version", f"{pooled.version!r} is none", "see deb-version(7)")
    if not re.fullmatch(r"pool/[A-Za-z0-9./+~_-]+", pooled.path) or _leaves(pooled.path):
        raise reader.error(
            f"{key}.path", "is not in a mirror's pool", "such as pool/main/x/xen/xen_1.orig.tar.xz"
        )
    if not re.fullmatch(r"[0-9a-f]{64}", pooled.sha256):
        raise reader.error(
            f"{key}.sha256", "is not a sha256", "it has 64 lower-case hexadecimal digits"
        )


def _check_suite(suite: Suite, reader: Reader) -> None:
    if suite.security_suite and not re.fullmatch(r"[a-z0-9][a-z0-9./-]*", suite.security_suite):
        raise reader.error("suite.security_suite", "is no suite", "such as wheezy/updates")
    for n, fingerprint in enumerate(suite.signed_by):
        if not re.fullmatch(r"[0-9A-Fa-f]{40}", fingerprint):
            raise reader.error(
                f"suite.signed_by[{n}]",
                "is not a fingerprint",
                "it has 40 hexadecimal digits: gpg --show-keys FILE prints it",
            )
    if suite.signed_by and not suite.keyring:
        raise reader.error("suite.keyring", "is missing", "name the file with the keys")
    for name, digest in suite.release_sha256.items():
        if digest and not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise reader.error(
                f"suite.release_sha256.{name}",
                "is not a sha256",
                "it has 64 lower-case hexadecimal digits",
            )
    if suite.release_sha256 and not suite.signed_by:
        raise reader.error(
            "suite.release_sha256", "is for suite.signed_by", "list the keys that sign the suite"
        )
