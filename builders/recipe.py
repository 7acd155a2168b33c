# SPDX-License-Identifier: GPL-2.0-or-later
"""A recipe (TOML) as frozen data.

`load` reads configs/recipes/NAME.toml, joins what it includes, applies the
`--set` overrides of one run and checks every key and type against the classes
below. An error names the file, the key and the remedy. Nothing here touches
the network, the engine or the clock.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from builders.corrections import OVERRIDES, Corrections
from builders.errors import BuildError

DEFAULT = "xen-4.2-wheezy"
ROOT = Path(__file__).resolve().parent.parent
RECIPES = ROOT / "configs" / "recipes"


@dataclass(frozen=True)
class UrlSource:
    """A file served at several addresses, the first that serves the right bytes wins."""

    name: str
    urls: tuple[str, ...]
    sha256: str
    size: int | None = None  # bytes
    filename: str = ""  # default: the last part of the first address


@dataclass(frozen=True)
class GitSource:
    """A tree at one commit (40 hexadecimal digits) of a git repository."""

    name: str
    urls: tuple[str, ...]
    commit: str


@dataclass(frozen=True)
class Pooled:
    """A tarball that mirrors may have after their lists have gone on to a newer version.

    version: of the source package; path: of the tarball below the main archive's address.
    """

    version: str
    path: str
    sha256: str


@dataclass(frozen=True)
class DebianSource:
    """The upstream tarball of a source package; `version` is exact, or a glob such as 4.17.*.

    pooled: one more version that may be taken, where `version` admits it.
    """

    name: str
    package: str
    version: str
    pooled: Pooled | None = None


@dataclass(frozen=True)
class DebianPackage:
    """A binary package of the suite; `version` is exact, or a glob such as 6.1.*."""

    name: str
    package: str
    version: str


Source = UrlSource | GitSource | DebianSource | DebianPackage

KINDS: dict[str, type[Any]] = {
    "url": UrlSource,
    "git": GitSource,
    "debian-source": DebianSource,
    "debian-package": DebianPackage,
}


@dataclass(frozen=True)
class Suite:
    """The Debian suite that everything is built in and for.

    mirror, security: where it is served; empty means what the box's own apt uses.
    pockets: further suites beside the main one ("updates", "security").
    security_suite: what the security pocket is called, where that is not NAME-security.
    keyring: file of the keys that may sign it; empty means the box's Debian keyring.
    signed_by: fingerprints of the keys in it that sign this suite. With these the box verifies
    the archive itself, which allows for keys that have expired since they signed.
    release_sha256: suite as sources.list(5) names it -> digest of its Release file, for a
    suite that does not change any more.
    image: a registry image by digest (name@sha256:...), used where it can be had.
    vsyscall: its glibc needs the kernel's vsyscall page (glibc before 2.14).
    """

    name: str
    mirror: str = ""
    security: str = ""
    components: tuple[str, ...] = ("main",)
    pockets: tuple[str, ...] = ("updates", "security")
    security_suite: str = ""
    keyring: str = ""
    signed_by: tuple[str, ...] = ()
    release_sha256: Mapping[str, str] = field(default_factory=dict)
    image: str = ""
    vsyscall: bool = False


@dataclass(frozen=True)
class Builder:
    """The builder image: packages on top of the clean root, and limits for a step.

    build_dep: source packages of the suite whose build dependencies are installed too.
    memory: GiB for one step; pids: processes and threads; nofile: open files;
    disk: GiB that the engine's storage needs for the whole recipe.
    """

    packages: tuple[str, ...]
    build_dep: tuple[str, ...] = ()
    memory: int = 8
    pids: int = 4096
    nofile: int = 16384
    disk: int = 12


@dataclass(frozen=True)
class Xen:
    """How the hypervisor and its tools are built.

    source: the source that is the tree; place: path in the tree -> another source.
    patches: a quilt series below patches/; files: path in the tree -> its content.
    configure, build: shell lines run in the tree; deb: glob of what comes out.
    makeflags: whether its make takes the shared job slots from MAKEFLAGS (GNU make 4.2 and
    newer do). Where not, the lines themselves say $JOBS.
    """

    source: str
    build: tuple[str, ...]
    deb: str
    version: str = ""  # shown to people; the package's own version decides
    configure: tuple[str, ...] = ()
    patches: str = ""
    place: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    elf: str = "dist/install"  # the installed tree that dpkg-shlibdeps reads
    makeflags: bool = True


@dataclass(frozen=True)
class Flavour:
    """One configuration of the kernel.

    base: "packaged" (the suite's own config), or a make target such as allnoconfig.
    fragments: files below configs/kernel/ put on top, later ones win.
    localversion: what sets its packages and modules apart, such as -dom0; may be empty.
    """

    base: str
    fragments: tuple[str, ...]
    localversion: str


@dataclass(frozen=True)
class Kernel:
    """How the dom0 kernel is built.

    source: the source with the tree (a linux-source package or a tarball);
    config: the source or the file in it that holds the suite's own config.
    defaults: the shell line that gives each option which is still open its default.
    build: shell lines run in the configured tree; deb: globs of what comes out.
    makeflags: as for Xen; make-kpkg(1) takes CONCURRENCY_LEVEL instead.
    """

    source: str
    build: tuple[str, ...]
    deb: tuple[str, ...]
    flavours: Mapping[str, Flavour]
    config: str = ""
    config_path: str = ""
    defaults: str = "make olddefconfig"
    patches: str = ""
    makeflags: bool = True


@dataclass(frozen=True)
class Audit:
    """What `inspect` expects of the finished packages."""

    kernel_options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    """All that a run needs to know.

    timestamp: SOURCE_DATE_EPOCH, in seconds, where a source gives none.
    overrides: the `--set` of this run, in order, as they were typed.
    """

    name: str
    summary: str
    suite: Suite
    builder: Builder
    sources: Mapping[str, Source]
    xen: Xen
    kernel: Kernel
    finish: Mapping[str, Corrections]
    audit: Audit = Audit()
    overrides: tuple[str, ...] = ()


def names() -> list[str]:
    """The recipes that there are, sorted."""
    return sorted(path.stem for path in RECIPES.glob("*.toml"))


def load(name: str, overrides: Sequence[str] = (), folder: Path = RECIPES) -> Recipe:
    """The recipe called `name` (or the .toml file of that path) with `overrides` applied.

    overrides: "key.path=value"; the value is TOML, or a bare string. "key.path+=value" adds to a
        list.
    Raises BuildError where a file, a key, a type or an override is wrong.
    """
    path = Path(name) if name.endswith(".toml") else folder / f"{name}.toml"
    if not _is_file(path):
        there = sorted(p.stem for p in folder.glob("*.toml"))
        raise BuildError(
            f"there is no recipe {name}"
            + (", the default one" if name == DEFAULT else _nearest(name, there)),
            hint=f"choose one with --recipe: {', '.join(there) or 'none is there'}",
        )
    if not _RECIPE_NAME.fullmatch(path.stem):
        raise BuildError(
            f"{path}: the name of a recipe becomes part of folders and volumes",
            hint="rename it: letters, digits, '.', '_' and '-'",
        )
    origins: dict[str, str] = {}
    raw = _read(path, (), origins)
    for text in overrides:
        _override(raw, text, origins)
    reader = _Reader(origins, str(path))
    sources = reader.table(raw, "sources")
    values: dict[str, Any] = {
        **{key: value for key, value in raw.items() if key != "sources"},
        "name": path.stem,
        "overrides": tuple(overrides),
    }
    for reserved in _RESERVED:
        if reserved in raw:
            raise reader.error(reserved, "is not a key of a recipe", "delete it")
    recipe: Recipe = reader.read(Recipe, {**values, "sources": {}}, "")
    parsed = {key: reader.source(key, value) for key, value in sources.items()}
    recipe = dataclasses.replace(recipe, sources=parsed)
    _check(recipe, reader)
    return recipe


def _read(path: Path, chain: tuple[Path, ...], origins: dict[str, str]) -> dict[str, Any]:
    """One file joined with what it includes; `origins` learns which file gave each key."""
    try:
        path = path.resolve()
    except (OSError, RuntimeError, ValueError) as error:  # links in a circle, a NUL
        raise BuildError(f"{path}: {error}", hint="correct the include") from None
    if path in chain:
        circle = " -> ".join(p.name for p in (*chain[chain.index(path) :], path))
        raise BuildError(f"{path}: include goes in a circle: {circle}", hint="take one of them out")
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        by = f" (included by {chain[-1]})" if chain else ""
        raise BuildError(f"{path}: no such file{by}", hint="correct the include") from None
    except (ValueError, RecursionError) as error:  # wrong, no UTF-8, or beyond its reader
        raise BuildError(f"{path}: not valid TOML: {error}", hint="correct that line") from None
    except OSError as error:
        raise BuildError(f"{path}: {error.strerror}", hint="make it readable") from None
    includes = raw.pop("include", [])
    if not isinstance(includes, list) or not all(isinstance(i, str) for i in includes):
        raise BuildError(
            f"{path}: include: must be a list of file names", hint='include = ["base.toml"]'
        )
    joined: dict[str, Any] = {}
    for include in includes:
        _join(joined, _read(path.parent / include, (*chain, path), origins))
    _note(raw, "", str(path), origins)
    _join(joined, raw)
    return joined


def _note(raw: Mapping[str, Any], prefix: str, origin: str, origins: dict[str, str]) -> None:
    for key, value in raw.items():
        origins[prefix + key] = origin
        if isinstance(value, dict):
            _note(value, f"{prefix}{key}.", origin, origins)


def _join(below: dict[str, Any], above: Mapping[str, Any]) -> None:
    """Put `above` over `below`: tables are joined, anything else is replaced."""
    for key, value in above.items():
        there = below.get(key)
        if not isinstance(value, dict) or not isinstance(there, dict):
            below[key] = value
        elif "kind" in there and value.get("kind", there["kind"]) != there["kind"]:
            below[key] = value  # a source of another kind has other keys
        else:
            _join(there, value)


def _override(raw: dict[str, Any], text: str, origins: dict[str, str]) -> None:
    typed, equals, value = text.partition("=")
    more = typed.endswith("+")
    steps = _steps(typed.removesuffix("+").strip())
    if not equals or not all(step.strip() for step in steps):
        raise BuildError(
            f"--set {text}: not of the form key=value",
            hint="for example --set sources.xen.version=4.17.5",
        )
    where = raw
    for depth, step in enumerate(steps[:-1]):
        if not isinstance(where.get(step), dict):
            # A table that the schema knows but the recipe leaves out may be begun.
            open_keys = set(_fields(Recipe)) - _RESERVED
            if depth == 0 and step in open_keys and step not in raw:
                where[step] = {}
            else:
                raise BuildError(
                    f"--set {text}: names nothing: the recipe has no {'.'.join(steps[: depth + 1])}"
                    + _nearest(step, where),
                    hint=f"keys there: {', '.join(sorted(where))}",
                )
        where = where[step]
    parsed = _value(value)
    if more:
        there = where.get(steps[-1])
        if not isinstance(there, list):
            raise BuildError(
                f"--set {text}: += is for a list, and the recipe states none there",
                hint=f"--set {'.'.join(steps)}=... sets it",
            )
        parsed = [*there, *(parsed if isinstance(parsed, list) else [parsed])]
    kind = KINDS.get(parsed) if isinstance(parsed, str) else None
    if steps[0] == "sources" and len(steps) == 3 and steps[2] == "kind" and kind:
        # Another kind has other keys: what it does not know goes with the old kind.
        known = set(_fields(kind))
        for other in [k for k in where if k not in known]:
            del where[other]
    where[steps[-1]] = parsed
    key = ".".join(steps)
    origins[key] = f"--set {text}"
    if isinstance(parsed, dict):
        _note(parsed, f"{key}.", f"--set {text}", origins)


def _steps(key: str) -> list[str]:
    """The parts of a dotted key; as in TOML, one that has dots itself stands in quotes."""
    if "'" not in key and '"' not in key:
        return key.split(".")
    try:
        rest: Any = tomllib.loads(f"{key} = 0")
    except (ValueError, RecursionError):
        return [""]
    steps: list[str] = []
    while isinstance(rest, dict) and len(rest) == 1:
        step, rest = next(iter(rest.items()))
        steps.append(step)
    return steps


def _value(text: str) -> Any:
    try:
        match tomllib.loads(f"value = {text}"):
            case {"value": value, **more} if not more:
                return value
    except (ValueError, RecursionError):
        pass
    return text


def _fields(cls: type[Any]) -> list[str]:
    return [f.name for f in dataclasses.fields(cls)]


def _nearest(word: str, words: typing.Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(words), n=1)
    return f" (did you mean {near[0]}?)" if near else ""


class _Reader:
    """Turns plain TOML values into the classes above."""

    def __init__(self, origins: Mapping[str, str], path: str) -> None:
        self._origins = origins
        self._path = path

    def error(self, key: str, what: str, hint: str) -> BuildError:
        """The error for one key: where it was written, what is wrong, what to do."""
        origin, steps = self._path, key.partition("[")[0].split(".")
        for end in range(len(steps), 0, -1):
            found = self._origins.get(".".join(steps[:end]))
            if found:
                origin = found
                break
        return BuildError(f"{origin}: {key}: {what}", hint=hint)

    def table(self, raw: Mapping[str, Any], key: str) -> dict[str, Any]:
        value = raw.get(key)
        if value is None:
            raise self.error(key, "is missing", f"add a table [{key}.NAME]")
        if not isinstance(value, dict):
            raise self.error(key, f"must be a table, not {_kind(value)}", f"write [{key}.NAME]")
        return value

    def source(self, name: str, raw: Any) -> Source:
        key = f"sources.{name}"
        if not isinstance(raw, dict):
            raise self.error(key, f"must be a table, not {_kind(raw)}", f"write [{key}]")
        rest = dict(raw)
        kind = rest.pop("kind", None)
        if not isinstance(kind, str) or kind not in KINDS:
            what = "is missing" if kind is None else f"{kind!r} is no kind of source"
            raise self.error(f"{key}.kind", what, f"one of: {', '.join(KINDS)}")
        if "name" in rest:
            raise self.error(f"{key}.name", "is not a known key", f"it is called {name} already")
        source = self.read(KINDS[kind], {**rest, "name": name}, key)
        return typing.cast("Source", source)

    def read(self, cls: type[Any], raw: Mapping[str, Any], prefix: str) -> Any:
        """An instance of the dataclass `cls`, every key known, present and of its type."""
        hints = typing.get_type_hints(cls)
        known = {f.name: f for f in dataclasses.fields(cls)}
        inner = f"{prefix}." if prefix else ""
        for key in raw:
            if key not in known:
                open_keys = sorted(
                    set(known) - (set() if cls in (Suite, Corrections) else _RESERVED)
                )
                raise self.error(
                    inner + key,
                    "is not a known key" + _nearest(key, open_keys),
                    f"keys here: {', '.join(open_keys)}",
                )
        values: dict[str, Any] = {}
        for key, spec in known.items():
            if key in raw:
                values[key] = self._convert(hints[key], raw[key], inner + key)
            elif spec.default is dataclasses.MISSING and (
                spec.default_factory is dataclasses.MISSING
            ):
                raise self.error(inner + key, "is missing", _MISSING.get(key, f"add {key} = ..."))
        return cls(**values)

    def _convert(self, hint: Any, value: Any, key: str) -> Any:
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if origin in (types.UnionType, typing.Union):  # only X | None is used
            return self._convert(arguments[0], value, key)
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            if not isinstance(value, dict):
                raise self.error(key, f"must be a table, not {_kind(value)}", f"write [{key}]")
            return self.read(hint, value, key)
        if origin is tuple:
            if isinstance(value, str) and self._origins.get(key, "").startswith("--set"):
                value = [value]
            if not isinstance(value, (list, tuple)):
                raise self.error(key, f"must be a list, not {_kind(value)}", f'{key} = ["..."]')
            return tuple(
                self._convert(arguments[0], item, f"{key}[{n}]") for n, item in enumerate(value)
            )
        if origin is not None and issubclass(origin, Mapping):
            if not isinstance(value, dict):
                raise self.error(key, f"must be a table, not {_kind(value)}", f"write [{key}]")
            return {k: self._convert(arguments[1], v, f"{key}.{k}") for k, v in value.items()}
        if hint is str and not isinstance(value, (str, list, dict)):
            # --set a.version=4.10 needs no quotes, and is not the number 4.1.
            before, _, typed = self._origins.get(key, "").partition("=")
            if before == f"--set {key}":
                return typed.strip()
        if type(value) is not hint:
            raise self.error(key, f"must be {_NAMES[hint]}, not {_kind(value)}", f"it is {value!r}")
        return value


_NAMES: dict[type, str] = {str: "a string", int: "a whole number", bool: "true or false"}
_MISSING = {
    "sha256": "every url source is pinned: add sha256 = the digest of the file that you trust",
    "commit": "every git source is pinned: add commit = its 40 hexadecimal digits",
    "version": "every Debian source is pinned: add an exact version, or a glob such as 6.1.*",
    "reason": "say in a sentence why lintian is wrong here",
    "summary": "add one line that says what the recipe builds",
}


def _kind(value: Any) -> str:
    names: dict[type, str] = {
        **_NAMES,
        list: "a list",
        tuple: "a list",
        dict: "a table",
        float: "a number",
    }
    return names.get(type(value), type(value).__name__)


_RESERVED = frozenset({"name", "overrides"})  # of a Recipe: not for a file to say
_NAME = re.compile(r"[a-z0-9][a-z0-9.+-]*")  # Policy 5.6.1, and safe as a file name
_RECIPE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_INSTALLABLE = re.compile(  # what apt-get(8) install takes: name, architecture, version or suite
    r"[a-z0-9][a-z0-9.+-]*(:[a-z0-9-]+)?([=/][A-Za-z0-9.+:~-]+)?"
)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long
        return False


def _leaves(path: str) -> bool:
    """Whether a relative path may lead out of the folder that it is relative to."""
    return path.startswith("/") or ".." in path.split("/")


def _check(recipe: Recipe, reader: _Reader) -> None:
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
                f"there is no source {name}" + _nearest(name, recipe.sources),
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
            if "/" in fragment or not _is_file(ROOT / "configs" / "kernel" / fragment):
                raise reader.error(
                    f"{key}.fragments", f"no file configs/kernel/{fragment}", "correct the name"
                )
    for key, series in (
        ("xen.patches", recipe.xen.patches),
        ("kernel.patches", recipe.kernel.patches),
    ):
        if series and (_leaves(series) or not _is_file(ROOT / "patches" / series / "series")):
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


def _check_pooled(pooled: Pooled, key: str, reader: _Reader) -> None:
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


def _check_suite(suite: Suite, reader: _Reader) -> None:
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


def read_corrections(path: Path) -> Corrections:
    """The corrections of a file that has the keys of a table [finish.xen], and no more.

    BuildError names the file, the key and the remedy.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        what = error.strerror if isinstance(error, OSError) else str(error)
        raise BuildError(
            f"{path}: {what}", hint="name a file in TOML; docs/finish.md has one"
        ) from None
    reader = _Reader({}, str(path))
    corrections = typing.cast("Corrections", reader.read(Corrections, raw, ""))
    for n, override in enumerate(corrections.overrides):
        if problem := override.problem():
            raise reader.error(f"overrides[{n}]", problem, "state the tag and the reason")
    return corrections


def flavour(recipe: Recipe, name: str) -> Flavour:
    """The kernel flavour of that name; BuildError with the names that there are."""
    found = recipe.kernel.flavours.get(name)
    if found is None:
        raise BuildError(
            f"recipe {recipe.name} has no flavour {name}" + _nearest(name, recipe.kernel.flavours),
            hint=f"choose one with --flavour: {', '.join(sorted(recipe.kernel.flavours))}",
        )
    return found
