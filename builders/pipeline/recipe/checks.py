# SPDX-License-Identifier: GPL-2.0-or-later
"""What the type of a key cannot say: the form of each value, and names that must lead somewhere.

All of it before anything starts: a recipe that is given by its path is a stranger's data. Only
its shell lines (`configure`, `build`, `defaults`) are code, and run in a container that has no
network and no right.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from builders import ROOT, forms
from builders.debkit.corrections import (
    OVERRIDES,
    PURGEABLE,
    SERVICE,
    WORDS,
    Corrections,
    purge_problem,
)
from builders.ground.sources.pins import (
    DebianSource,
    GitSource,
    Pooled,
    Source,
    TreeSource,
    UrlSource,
)
from builders.ground.suite.model import Builder, Suite
from builders.pipeline.recipe import debian
from builders.pipeline.recipe.files import is_file
from builders.pipeline.recipe.model import Kernel, Recipe, Xen
from builders.pipeline.recipe.schema import Reader, dotted
from builders.text import nearest

RECIPE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_INSTALLABLE = re.compile(  # what apt-get(8) installs: name, architecture, version or suite
    rf"(?P<name>{debian.NAME})(:[a-z0-9-]+)?([=/][A-Za-z0-9][A-Za-z0-9.+:~-]*)?"
)
_VERSION_GLOB = re.compile(r"[A-Za-z0-9.+:~*?][A-Za-z0-9.+:~*?-]{0,99}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOST = {"memory": 1 << 14, "pids": 1 << 22, "nofile": 1 << 20, "disk": 1 << 20}
# Values that may have several lines: texts of files, and the shell lines of a build.
_TEXTS = re.compile(
    r"xen\.(files\..+|configure\[\d+\]|build\[\d+\])|kernel\.(defaults|certificate|build\[\d+\])"
    r"|(finish\.[^.]+\.)?(description|copyright|files\..+|replace\[\d+\]\.(old|new)"
    r"|overrides\[\d+\]\.reason)",
    re.DOTALL,
)


def check(recipe: Recipe, reader: Reader) -> None:
    """BuildError for the first value that has not the form that it needs, or leads nowhere."""
    _check_characters(recipe, "", reader)
    if recipe.allow_file and not reader.typed("allow_file"):
        raise reader.error(
            "allow_file", "is not a recipe's to say", "--set allow_file=true says it"
        )
    if not recipe.summary.strip():
        raise reader.error("summary", "is empty", "say in one line what the recipe builds")
    for name, source in recipe.sources.items():
        _check_source(name, source, recipe.allow_file, reader)
    _check_names(recipe, reader)
    _check_suite(recipe.suite, reader)
    _check_builder(recipe.builder, reader)
    if not recipe.targets:
        raise reader.error("xen", "is missing, and kernel too", "add [xen], [kernel], or both")
    if recipe.xen:
        _check_xen(recipe.xen, reader)
    if recipe.kernel:
        _check_kernel(recipe.kernel, reader)
    for option, value in recipe.audit.kernel_options.items():
        if not re.fullmatch(r"CONFIG_[A-Za-z0-9_]{1,100}", option) or not value.strip():
            raise reader.error(
                dotted("audit.kernel_options", option), "is no option", 'such as CONFIG_XEN = "y"'
            )
    _check_finish(recipe, reader)


def _check_characters(value: Any, key: str, reader: Reader) -> None:
    """No control character anywhere, and line breaks in texts alone; in keys as in values."""
    if isinstance(value, str):
        if problem := forms.control(value, lines=bool(_TEXTS.fullmatch(key))):
            raise reader.error(key, problem, "write one line of plain text")
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            if not (isinstance(value, Recipe) and field.name == "overrides"):
                _check_characters(getattr(value, field.name), dotted(key, field.name), reader)
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            if problem := forms.control(name, lines=False) or ("" if name else "is empty"):
                raise reader.error(
                    dotted(key, name), f"the name {problem}", "write one line of plain text"
                )
            _check_characters(inner, dotted(key, name), reader)
    elif isinstance(value, tuple):
        for number, inner in enumerate(value):
            _check_characters(inner, f"{key}[{number}]", reader)


def _check_source(name: str, source: Source, files: bool, reader: Reader) -> None:
    key = f"sources.{name}"
    if not forms.NAME.fullmatch(name):
        raise reader.error(key, "is not a name", "use a-z, 0-9, '.', '+' and '-'")
    if isinstance(source, (UrlSource, GitSource)):
        if not source.urls:
            raise reader.error(f"{key}.urls", "is empty", "name at least one address")
        for number, url in enumerate(source.urls):
            _check_address(url, f"{key}.urls[{number}]", name, files, reader)
    if isinstance(source, UrlSource):
        _check_sha256(source.sha256, f"{key}.sha256", reader)
        if source.size is not None and source.size < 1:
            raise reader.error(f"{key}.size", "is no size", "in bytes, or leave it out")
        # Where none is stated it is the end of the first address.
        file = source.filename or unquote(source.urls[0].partition("?")[0].rpartition("/")[2])
        if problem := forms.file_name(file):
            raise reader.error(
                f"{key}.filename", problem, "name the file: letters, digits and ._+~%@=-"
            )
    elif isinstance(source, GitSource):
        _check_git(source, key, reader)
    elif isinstance(source, TreeSource):
        _check_tree(source, key, reader)
    else:
        if problem := debian.name_problem(source.package):
            raise reader.error(f"{key}.package", problem, "name one package of the suite")
        if not _VERSION_GLOB.fullmatch(source.version):
            raise reader.error(
                f"{key}.version", f"{source.version!r} is no version", "see deb-version(7)"
            )
        if isinstance(source, DebianSource) and source.pooled:
            _check_pooled(source.pooled, f"{key}.pooled", reader)


def _check_git(source: GitSource, key: str, reader: Reader) -> None:
    if bool(source.commit) == bool(source.ref):
        raise reader.error(
            f"{key}.commit",
            "stands beside ref" if source.ref else "is missing",
            "a git source is pinned by its commit, 40 hexadecimal digits, or follows a branch or a "
            "tag: ref",
        )
    if source.commit and not re.fullmatch(r"[0-9a-f]{40}", source.commit):
        raise reader.error(
            f"{key}.commit", "is not a commit", "it has 40 lower-case hexadecimal digits"
        )
    # git-check-ref-format(1), and nothing that ls-remote takes for a pattern.
    if source.ref and (
        not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/+-]{0,199}", source.ref)
        or re.search(r"\.\.|//|/\.|\./|\.lock(/|$)|[./]$|^refs/", source.ref)
    ):
        raise reader.error(
            f"{key}.ref", "is no branch or tag", 'such as "stable-4.20" or "RELEASE-4.20.1"'
        )
    _check_keys(source.signed_by, source.keyring, key, reader)
    if source.signed_by and not source.ref:
        raise reader.error(f"{key}.signed_by", "is of a tag", "name the tag: ref")


def _check_keys(fingerprints: Sequence[str], keyring: str, key: str, reader: Reader) -> None:
    """Whose signatures count, and the file with these keys."""
    if keyring and (forms.absolute(keyring) or not re.fullmatch(r"[\w./+~@=-]+", keyring)):
        raise reader.error(
            f"{key}.keyring",
            f"{keyring[:80]!r} is no path of a keyring",
            "absolute, in plain letters, such as /usr/share/keyrings/debian-archive-keyring.gpg",
        )
    for n, fingerprint in enumerate(fingerprints):
        if not re.fullmatch(r"[0-9A-Fa-f]{40}", fingerprint):
            raise reader.error(
                f"{key}.signed_by[{n}]",
                "is not a fingerprint",
                "it has 40 hexadecimal digits: gpg --show-keys FILE prints it",
            )
    if fingerprints and not keyring:
        raise reader.error(f"{key}.keyring", "is missing", "name the file with the keys")


def _check_tree(tree: TreeSource, key: str, reader: Reader) -> None:
    """A folder of this box, which the command line alone may name."""
    if not reader.typed(f"{key}.path"):
        raise reader.error(
            f"{key}.path", "is a folder of this box", "--tree xen=FOLDER or linux=FOLDER names one"
        )
    if not tree.path.startswith("/"):
        raise reader.error(f"{key}.path", "is no absolute path", "--tree reads and names it")
    _check_sha256(tree.sha256, f"{key}.sha256", reader)
    if not re.fullmatch(r"([0-9a-f]{40}([0-9a-f]{24})?)?", tree.commit):
        raise reader.error(f"{key}.commit", "is not a commit", "leave it to --tree")


def _check_address(url: str, key: str, name: str, files: bool, reader: Reader) -> None:
    """One http or https address; a file of the box where the user names it on the command line."""
    problem = forms.address(url)
    if not problem:
        return
    local = url[:5].lower() == "file:" or (url.startswith("/") and "://" not in url)
    if (
        (reader.typed(key) or (files and local))
        and not re.search(r"[\s'\"\\]", url)
        and not url.startswith("-")
    ):
        return  # the user's own word: a file, a clone, or what else git(1) may fetch from
    if local:
        raise reader.error(
            key,
            f"{url[:80]!r} is a file of this box",
            "a recipe may not name it by itself. To have it so: "
            f"--set {shlex.quote(f'sources.{name}.urls={url}')}, or --set allow_file=true for all "
            "of them",
        )
    raise reader.error(key, problem, "such as https://example.org/x.tar.gz")


def _check_sha256(digest: str, key: str, reader: Reader) -> None:
    if not _SHA256.fullmatch(digest):
        raise reader.error(key, "is not a sha256", "it has 64 lower-case hexadecimal digits")


def _check_pooled(pooled: Pooled, key: str, reader: Reader) -> None:
    if debian.version_problem(pooled.version):
        raise reader.error(f"{key}.version", f"{pooled.version!r} is none", "see deb-version(7)")
    if not re.fullmatch(r"pool/[A-Za-z0-9./+~_-]+", pooled.path) or forms.inside(pooled.path):
        raise reader.error(
            f"{key}.path", "is not in a mirror's pool", "such as pool/main/x/xen/xen_1.orig.tar.xz"
        )
    _check_sha256(pooled.sha256, f"{key}.sha256", reader)


def _check_names(recipe: Recipe, reader: Reader) -> None:
    """Every source that a build names is there."""
    used: dict[str, str] = {}
    if recipe.xen:
        used["xen.source"] = recipe.xen.source
        used |= {dotted("xen.place", path): name for path, name in recipe.xen.place.items()}
        used |= {f"xen.apply[{n}]": name for n, name in enumerate(recipe.xen.apply)}
    if recipe.kernel:
        used["kernel.source"] = recipe.kernel.source
        used |= {"kernel.config": recipe.kernel.config} if recipe.kernel.config else {}
        used |= {f"kernel.apply[{n}]": name for n, name in enumerate(recipe.kernel.apply)}
    for key, name in used.items():
        if name not in recipe.sources:
            raise reader.error(
                key,
                f"there is no source {name}" + nearest(name, recipe.sources),
                f"sources here: {', '.join(sorted(recipe.sources))}",
            )
        if ".apply[" in key and not isinstance(recipe.sources[name], UrlSource):
            raise reader.error(key, f"source {name} is no file", "a patch is a source of kind url")


def _check_suite(suite: Suite, reader: Reader) -> None:
    if not forms.SUITE.fullmatch(suite.name) or len(suite.name) > 60:
        raise reader.error("suite.name", "is no suite", "use its code name, such as bookworm")
    for part in ("mirror", "security"):
        value = getattr(suite, part)
        if value and (problem := forms.mirror(value)):
            raise reader.error(f"suite.{part}", problem, "such as http://archive.debian.org/debian")
    if not suite.components:
        raise reader.error("suite.components", "is empty", 'such as ["main"]')
    for part, example in (("components", "main"), ("pockets", "updates")):
        for number, word in enumerate(getattr(suite, part)):
            problem = forms.words(word)
            if problem or (part == "pockets" and "/" in word):
                raise reader.error(
                    f"suite.{part}[{number}]",
                    problem or f"{word!r} is no word",
                    f"such as {example}",
                )
    if suite.security_suite and forms.words(suite.security_suite):
        raise reader.error("suite.security_suite", "is no suite", "such as wheezy/updates")
    _check_keys(suite.signed_by, suite.keyring, "suite", reader)
    for name, digest in suite.release_sha256.items():
        key = dotted("suite.release_sha256", name)
        if forms.words(name):
            raise reader.error(key, "is no suite", "such as wheezy")
        if digest:
            _check_sha256(digest, key, reader)
    if suite.release_sha256 and not suite.signed_by:
        raise reader.error(
            "suite.release_sha256", "is for suite.signed_by", "list the keys that sign the suite"
        )
    if suite.image and not re.fullmatch(
        r"[a-z0-9][A-Za-z0-9._:/-]{0,199}@sha256:[0-9a-f]{64}", suite.image
    ):
        raise reader.error("suite.image", "is not pinned", "write name@sha256:digest")


def _check_builder(builder: Builder, reader: Reader) -> None:
    for key in ("packages", "build_dep"):
        for n, package in enumerate(getattr(builder, key)):
            match = _INSTALLABLE.fullmatch(package)
            # To apt-get "x-" means to remove x.
            if not match or match["name"].endswith("-") or len(package) > debian.LONGEST:
                raise reader.error(
                    f"builder.{key}[{n}]",
                    f"{package[:60]!r} is no package",
                    "one name in each string (Policy 5.6.1)",
                )
    for limit, most in _MOST.items():
        value = getattr(builder, limit)
        if value < 1:  # an engine takes 0 for no limit
            raise reader.error(f"builder.{limit}", "does not limit", "1 or more")
        if value > most:
            raise reader.error(f"builder.{limit}", f"{value} is too much", f"at most {most}")


def _check_patches(key: str, series: str, reader: Reader) -> None:
    if series and (forms.inside(series) or not is_file(ROOT / "patches" / series / "series")):
        raise reader.error(key, f"no file patches/{series}/series", "correct the name")


def _check_xen(xen: Xen, reader: Reader) -> None:
    for path in xen.place:
        if problem := forms.inside(path, folder=True):
            raise reader.error(dotted("xen.place", path), problem, "name a path inside it")
    for path in xen.files:
        if problem := forms.inside(path):
            raise reader.error(dotted("xen.files", path), problem, "name a path inside it")
    if problem := forms.glob(xen.deb):
        raise reader.error("xen.deb", problem, "such as dist/*.deb")
    if problem := forms.inside(xen.elf):
        raise reader.error("xen.elf", problem, "name a folder inside of the tree")
    if not re.fullmatch(r"[A-Za-z0-9.+~:_-]{0,100}", xen.version):
        raise reader.error("xen.version", f"{xen.version[:60]!r} is no version", "such as 4.17.5")
    if not xen.build:
        raise reader.error("xen.build", "is empty", "state the shell lines that build it")
    _check_patches("xen.patches", xen.patches, reader)


def _check_kernel(kernel: Kernel, reader: Reader) -> None:
    for n, glob in enumerate(kernel.deb):
        if problem := forms.glob(glob):
            raise reader.error(f"kernel.deb[{n}]", problem, "such as ../*.deb")
    for key in ("deb", "build"):
        if not getattr(kernel, key):
            raise reader.error(f"kernel.{key}", "is empty", "state how and what it builds")
    if not kernel.flavours:
        raise reader.error("kernel.flavours", "is empty", "add [kernel.flavours.NAME]")
    path = kernel.config_path.removeprefix("/")
    if path and (forms.inside(path) or not re.fullmatch(r"[A-Za-z0-9._+/-]+", path)):
        raise reader.error(
            "kernel.config_path",
            f"{kernel.config_path[:80]!r} is no path of a file in a package",
            "such as /boot/config-6.1.0",
        )
    _check_patches("kernel.patches", kernel.patches, reader)
    for name, flavour in kernel.flavours.items():
        key = f"kernel.flavours.{name}"
        if not forms.NAME.fullmatch(name) or len(name) > 60:
            raise reader.error(key, "is not a name", "use a-z, 0-9, '.', '+' and '-'")
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", flavour.base):
            raise reader.error(
                f"{key}.base",
                f"{flavour.base[:60]!r} is no configuration",
                "packaged, or a target of the kernel's make, such as allnoconfig",
            )
        if flavour.base == "packaged" and not kernel.config:
            raise reader.error(
                f"{key}.base", "needs the suite's config", "say which source has it: kernel.config"
            )
        if flavour.base == "packaged" and not path.strip("/"):
            raise reader.error(
                "kernel.config_path", "is missing", "say where it lies in the package"
            )
        if not re.fullmatch(r"(-[a-z0-9.+]+)*", flavour.localversion) or (
            len(flavour.localversion) > 60
        ):
            raise reader.error(
                f"{key}.localversion",
                f"{flavour.localversion[:80]!r} can't be part of a package name",
                "for example -dom0",
            )
        for part in ("fragments", "keep"):
            for file in getattr(flavour, part):
                if "/" in file or not is_file(ROOT / "configs" / "kernel" / file):
                    raise reader.error(
                        f"{key}.{part}", f"no file configs/kernel/{file}", "correct the name"
                    )
    for name in kernel.loaded:
        if not forms.MODULE.fullmatch(name):
            raise reader.error(
                "kernel.loaded", f"{name[:60]!r} is no name of a module", "as lsmod(8) has it"
            )
    if kernel.certificate and not forms.CERTIFICATE.fullmatch(kernel.certificate):
        raise reader.error(
            "kernel.certificate", "is no certificate in PEM", "--module-key FILE states it"
        )


def _check_finish(recipe: Recipe, reader: Reader) -> None:
    for target in recipe.targets:
        if target not in recipe.finish:
            raise reader.error(f"finish.{target}", "is missing", f"add a table [finish.{target}]")
    tags: set[str] = set()
    for target, corrections in recipe.finish.items():
        key = dotted("finish", target)
        if target not in recipe.targets:
            raise reader.error(
                key,
                "is of nothing that is built" + nearest(target, recipe.targets),
                f"it builds: {', '.join(recipe.targets)}",
            )
        check_corrections(corrections, key, reader)
        tags |= {override.tag for override in corrections.overrides}
    if len(tags) > OVERRIDES:
        raise reader.error(
            "finish", f"overrides {len(tags)} kinds of tags", f"at most {OVERRIDES}: correct them"
        )


def check_corrections(corrections: Corrections, prefix: str, reader: Reader) -> None:
    """BuildError for the first correction that no package could take.

    prefix: the key of their table, "" for a file of their own.
    """
    _check_characters(corrections, prefix, reader)
    for key, problem, hint in _wrong(corrections):
        raise reader.error(f"{prefix}.{key}" if prefix else key, problem, hint)


_COMPRESSIONS = ("", "none", "gzip", "gzip-ng", "xz", "zstd", "bzip2", "lzma")
_RELATIONS = ("depends", "recommends", "suggests", "provides", "conflicts", "replaces", "breaks")


def _wrong(it: Corrections) -> Iterator[tuple[str, str, str]]:
    """Key, problem and remedy of each value of a table [finish.xen] that is wrong."""
    if it.package and (problem := debian.name_problem(it.package)):
        yield "package", problem, "lower case letters, digits and +-."
    if it.maintainer and not debian.MAINTAINER.fullmatch(it.maintainer):
        yield (
            "maintainer",
            f"{it.maintainer[:80]!r} is not of the form Name <address>",
            "write a name, then an e-mail address in angle brackets",
        )
    for key in ("section", "homepage"):
        if re.search(r"\s", getattr(it, key)):
            yield key, f"{getattr(it, key)[:80]!r} has a space", "write one word"
    if it.priority and it.priority not in debian.PRIORITIES:
        yield (
            "priority",
            f"{it.priority[:60]!r} is no priority (Policy 2.5)",
            f"one of: {', '.join(debian.PRIORITIES)}",
        )
    for field in _RELATIONS:
        for n, text in enumerate(getattr(it, field)):
            if problem := debian.relations_problem(field, text):
                yield f"{field}[{n}]", problem, "write it like: libc6 (>= 2.36)"
    for verb in ("remove", "discard"):
        for n, glob in enumerate(getattr(it, verb)):
            if not glob.startswith("/"):
                yield f"{verb}[{n}]", f"{glob[:80]!r} is no absolute path", f"write /{glob[:80]}"
    for old, new in it.move.items():
        if problem := forms.absolute(old) or forms.absolute(new):
            yield dotted("move", old), problem, "write it like /usr/share/x"
    for n, replacement in enumerate(it.replace):
        if not replacement.path.startswith("/"):
            yield f"replace[{n}].path", "is no absolute path", "write it like /etc/init.d/xend"
        if not replacement.old:
            yield f"replace[{n}].old", "is empty", "quote the passage that is to go"
    for glob, mode in it.modes.items():
        if not re.fullmatch(r"0?[0-7]{3,4}", mode):
            yield dotted("modes", glob), f"{mode[:20]!r} is no mode", 'write it like "0755"'
        if not glob.startswith("/"):
            yield dotted("modes", glob), "is no absolute path", f"write /{glob[:80]}"
    for name, word in it.services.items():
        key = dotted("services", name)
        if not SERVICE.fullmatch(name):
            yield key, "is no service", "name a unit or an init script"
        if word not in WORDS:
            yield key, f"{word[:40]!r} is no way to run it", f"one of: {', '.join(WORDS)}"
    for n, path in enumerate(it.purge):
        if problem := purge_problem(path):
            yield f"purge[{n}]", problem, f"name a path below one of: {', '.join(PURGEABLE)}"
    for path in it.files:
        if problem := forms.absolute(path) or ("ends in a slash" if path.endswith("/") else ""):
            yield dotted("files", path), problem, "write it like /etc/x"
    for n, override in enumerate(it.overrides):
        if problem := override.problem():
            yield f"overrides[{n}]", problem, "state the tag and, in a sentence, the reason"
    if it.revision and not re.fullmatch(r"[A-Za-z0-9.+~-]{1,100}", it.revision):
        yield "revision", f"{it.revision[:60]!r} is none", "letters, digits and .+-~: +dom0.1"
    if it.version and (problem := debian.version_problem(it.version)):
        yield "version", problem, "begin with a digit, go on with letters, digits and .+-~"
    if it.compression not in _COMPRESSIONS:
        yield (
            "compression",
            f"{it.compression[:40]!r} is not known",
            f"one of: {', '.join(_COMPRESSIONS[1:])}",
        )
    if not -1 <= it.level <= 22:
        yield "level", f"{it.level} is no level", "-1 (the default of dpkg-deb) to 9; zstd to 22"
