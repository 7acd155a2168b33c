# SPDX-License-Identifier: GPL-2.0-or-later
"""The settings of one Xen host as a package: dom0-config_VERSION_all.deb.

`settings` checks what a person asked for, `package` makes the .deb from the templates in
configs/dom0/. No file of another package is edited, conffile or not (Policy 10.7.4): what reads
a drop-in gets one; any other file is set aside by dpkg-divert(8), the way config-package-dev
does it, and comes back unchanged when the package goes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from builders import ROOT
from builders.debkit import deb
from builders.debkit.deb import Added
from builders.errors import BuildError
from builders.host import identity, options, pci, texts
from builders.host.identity import Identity
from builders.host.pci import Bdf
from builders.host.problems import Problems, quoted
from builders.host.values import LOOPBACK, address, exposed, mebibytes, xen_version
from builders.pipeline.recipe import Recipe

NAME = "dom0-config"
TEMPLATES = ROOT / "configs" / "dom0"
EPOCH = 1_356_998_400  # 2013-01-01, so that equal settings are equal bytes

SMALLEST = 256  # MiB; a dom0 with a small kernel has booted with it
LARGEST = 16 << 20  # MiB; Xen addresses 16 TiB of host memory
VCPUS = 512  # more than any dom0 has use for; Xen's own limit depends on its build

# They stand in a file that a shell reads, in double quotes.
_PATH = re.compile(r"/[A-Za-z0-9/._+@~-]{1,250}")
_KEY = re.compile(rf"{_PATH.pattern}|pkcs11:[A-Za-z0-9;=%/._+@~&?:-]{{1,500}}")

_UNIT = "dom0-devices"  # the service that compares the devices at boot
_NO_SAVE = """\
# A guest with a PCI device cannot be saved: it is shut down with the host.
XENDOMAINS_SAVE=\"\"
"""

# Suites whose grub-mkconfig(8) does not read /etc/default/grub.d.
_OLD_GRUB = ("squeeze", "wheezy")
# Suites where /lib need not be a link to /usr/lib.
_UNMERGED = (*_OLD_GRUB, "jessie", "stretch", "buster", "bullseye")


@dataclass(frozen=True)
class Style:
    """What the suite and its Xen understand.

    grub_dropin: grub-mkconfig reads /etc/default/grub.d/*.cfg.
    xend: this Xen has xend, and an xl that would shrink dom0 unless told not to. From Xen 4.3 on
    autoballoon is "auto" (xl.conf(5)), which dom0_mem switches off.
    unified: its xen.efi can be one file with the kernel (docs/misc/efi.pandoc, since 4.15).
    """

    grub_dropin: bool = True
    xend: bool = False
    unified: bool = True


def style(recipe: Recipe) -> Style:
    """The style of a recipe, by its suite and the version of its Xen."""
    version = xen_version(recipe)
    grub_dropin = recipe.suite.name not in _OLD_GRUB
    return Style(grub_dropin, xend=version < (4, 3), unified=version >= (4, 15))


@dataclass(frozen=True)
class Settings:
    """What the package sets. memory: of dom0 in MiB; vcpus: 0 leaves it to Xen.

    xen, linux: more options of the hypervisor and of dom0's kernel. microcode: Xen loads it from
    the initramfs. meant: the devices that are meant by the addresses, as far as they are known.
    unified: the host writes a unified image for UEFI; key, certificate: files of the host's, or
    for the key pkcs11:..., that it signs that with.
    """

    hide: tuple[Bdf, ...]
    memory: int
    vcpus: int = 0
    vnc: str = LOOPBACK
    save: bool = True
    unified: bool = False
    key: str = ""
    certificate: str = ""
    xen: tuple[str, ...] = ()
    linux: tuple[str, ...] = ()
    microcode: bool = False
    meant: Mapping[Bdf, Identity] = field(default_factory=dict)

    @property
    def xen_words(self) -> tuple[str, ...]:
        """For the hypervisor's command line (xen-command-line), each option."""
        cpus = [f"dom0_max_vcpus={self.vcpus}"] if self.vcpus else []
        scan = ["ucode=scan"] if self.microcode else []
        return (f"dom0_mem={self.memory}M,max:{self.memory}M", *cpus, *scan, *self.xen)

    @property
    def xen_options(self) -> str:
        """The same as one line."""
        return " ".join(self.xen_words)

    @property
    def linux_words(self) -> tuple[str, ...]:
        """For dom0's kernel, each option."""
        hide = [f"xen-pciback.hide={pci.hide_option(self.hide)}"] if self.hide else []
        return (*hide, *self.linux)

    @property
    def linux_options(self) -> str:
        """The same as one line."""
        return " ".join(self.linux_words)

    @property
    def arguments(self) -> str:
        """The options of the verb that make these settings."""
        words = [f"--hide {bdf}" for bdf in self.hide]
        words.append(f"--dom0-mem {self.memory}M")
        words += [f"--dom0-vcpus {self.vcpus}"] if self.vcpus else []
        words += [f"--vnc-listen {self.vnc}"] if self.vnc != LOOPBACK else []
        words += [] if self.save else ["--no-save"]
        words += ["--uki"] if self.unified else []
        words += [f"--efi-key {self.key} --efi-cert {self.certificate}"] if self.key else []
        words += [f"--xen {option}" for option in self.xen]
        words += [f"--linux {option}" for option in self.linux]
        words += ["--microcode"] if self.microcode else []
        return " ".join(words)


def settings(
    hide: Sequence[str],
    memory: str,
    *,
    vcpus: str = "",
    vnc: str = "",
    save: bool = True,
    unified: bool = False,
    key: str = "",
    certificate: str = "",
    xen: Sequence[str] = (),
    linux: Sequence[str] = (),
    microcode: bool = False,
    known: Collection[str] = (),
    meant: Mapping[Bdf, Identity] | None = None,
    like: Style | None = None,
) -> Settings:
    """The settings that were typed; BuildError (USAGE) names all that is wrong with them.

    known: the options that this Xen has, for `xen`. meant: what is at the addresses.
    """
    like = like or Style()
    problems = Problems()
    hidden = pci.read_all([text for text in hide if text], "--hide", problems)
    if not any(hide):
        problems.add("nothing to hide", "--hide BDF for each device; ./inv devices lists them")
    length = len(pci.hide_option(hidden))
    if length > pci.HIDE_LIMIT:
        problems.add(
            f"{len(hidden)} devices are {length} characters of xen-pciback.hide: Xen cuts the "
            f"kernel's command line at 1,023, of which {pci.HIDE_LIMIT} are left for them",
            "hide fewer at boot; xl pci-assignable-add takes the others later",
        )
    size = mebibytes(memory, "--dom0-mem", problems, SMALLEST, LARGEST)
    count = 0
    if vcpus:
        if re.fullmatch(r"[1-9][0-9]{0,3}", vcpus) and int(vcpus) <= VCPUS:
            count = int(vcpus)
        else:
            problems.add(f"--dom0-vcpus {quoted(vcpus)}: no number of CPUs", f"1 to {VCPUS}")
    listen = address(vnc, "--vnc-listen", problems) if vnc else LOOPBACK
    if listen != LOOPBACK and not like.xend:
        problems.add(
            f"--vnc-listen {quoted(vnc)}: this Xen has no such setting for the whole host",
            "each guest has its own: ./inv domu-config NAME --vnc ADDRESS",
        )
    _signing(unified, key, certificate, like, problems)
    more_xen = options.read(xen, "--xen", problems, known)
    more_linux = options.read(linux, "--linux", problems)
    if microcode and like.xend:
        problems.add(
            "--microcode: this Xen does not look for microcode in the initramfs",
            "load it with the firmware, or in dom0",
        )
    problems.end()
    return Settings(
        hidden,
        size,
        count,
        listen,
        save,
        unified=unified,
        key=key,
        certificate=certificate,
        xen=more_xen,
        linux=more_linux,
        microcode=microcode,
        meant={bdf: it for bdf, it in (meant or {}).items() if bdf in hidden},
    )


def _signing(unified: bool, key: str, certificate: str, like: Style, problems: Problems) -> None:
    """What is wrong with these settings of a unified image."""
    if unified and not (like.unified and like.grub_dropin):
        problems.add("--uki: this Xen can be no unified image", "Xen 4.15 and later can")
    if (key or certificate) and not unified:
        problems.add("--efi-key: there is nothing to sign", "--uki makes the image")
    if bool(key) != bool(certificate):
        problems.add(
            "a signature takes both a key and its certificate", "--efi-key FILE --efi-cert FILE"
        )
    if "pin-value=" in key:
        problems.add(
            "--efi-key with a PIN: whoever can read the package could read it",
            "pin-source=FILE instead (RFC 7512), a file on the host that only root may read",
        )
    for option, value, form in (
        ("--efi-key", key, _KEY),
        ("--efi-cert", certificate, _PATH),
    ):
        if value and not form.fullmatch(value):
            problems.add(
                f"{option} {quoted(value)}: no file of a host",
                "a path from / on, without spaces and quotes"
                + (", or pkcs11:... (RFC 7512)" if form is _KEY else ""),
            )


NOWHERE = "none"  # in the place of a folder: no device is looked at


def meant(hide: Sequence[str], devices: str) -> Mapping[Bdf, Identity]:
    """What is at these addresses, by a folder laid out like /sys, or by a document of `devices`;
    nothing for "none". BuildError (USAGE) where it is none such.
    """
    if devices == NOWHERE:
        return {}
    root = Path(devices)
    if root.is_file():
        return identity.of_document(root)
    if not (root / "bus" / "pci").is_dir():
        if devices == "/sys":
            return {}
        raise BuildError(
            f"--devices {quoted(devices)}: no sysfs there",
            hint="a folder that holds bus/pci, copied from the host (docs/host.md), or none",
        )
    return identity.recorded(root, [bdf for text in hide if (bdf := Bdf.parse(text.strip()))])


def warnings(chosen: Settings, machine_mib: int = 0, devices: str = NOWHERE) -> list[str]:
    """What is allowed and yet worth a second look.

    machine_mib: the memory of this box. devices: where the devices were looked up.
    """
    found = []
    missing = [str(bdf) for bdf in chosen.hide if bdf not in chosen.meant]
    if missing and devices != NOWHERE:
        found.append(
            f"{devices} has no device at {', '.join(missing)}: which one is meant is not recorded, "
            "and the host cannot tell when it is another (--devices FOLDER, with the host's)"
        )
    if exposed(chosen.vnc):
        found.append(exposed(chosen.vnc))
    if machine_mib and chosen.memory > machine_mib:
        found.append(
            f"this machine has {machine_mib} MiB, dom0 is to have {chosen.memory} MiB: "
            "right only where the package is for a larger one"
        )
    return found


# --- the package

# Where Debian's kernels and initramfs-tools(7) run what has to know of a change.
_HOOKS = (
    "/etc/kernel/postinst.d/zz-xen-uki",
    "/etc/kernel/postrm.d/zz-xen-uki",
    "/etc/initramfs/post-update.d/zz-xen-uki",
)


def package(
    recipe: Recipe, chosen: Settings, folder: Path, *, version: str = "", like: Style | None = None
) -> Path:
    """Write the package for the recipe's suite to `folder`; its path.

    version: default 1+ and a digest of what is in it. The same settings give the same bytes.
    BuildError (USAGE) for a version that is none or a folder that can't be written.
    """
    like = like or style(recipe)
    made = _Content(recipe, chosen, like)
    version = version or f"1+{made.digest()}"
    if not re.fullmatch(r"[0-9][A-Za-z0-9.+~]*", version):  # Policy 5.6.12, a native version
        raise BuildError(
            f"--version {quoted(version)}: no version of a native package (Policy 5.6.12)",
            hint="a digit, then letters, digits and . + ~",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BuildError(f"{folder}: {error.strerror}", hint="choose another --out") from None
    return made.write(folder / f"{NAME}_{version}_all.deb", version)


def tells(recipe: Recipe, chosen: Settings) -> list[str]:
    """What the package for this recipe does, in sentences."""
    return _Content(recipe, chosen, style(recipe)).tells()


@dataclass(frozen=True)
class _Displaced:
    """A file that gives way: where its original goes, and what takes its place."""

    path: str
    original: str
    ours: str

    @property
    def words(self) -> str:
        return f"{self.path} {self.original} {Path(self.ours).name}"


def _named(bdf: Bdf, it: Identity | None) -> str:
    return f"{bdf} ({it.kind.split()[0]})" if it else str(bdf)


def _template(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


class _Content:
    """Everything in the package, from the templates."""

    def __init__(self, recipe: Recipe, chosen: Settings, like: Style) -> None:
        self._recipe = recipe
        self._chosen = chosen
        self._like = like
        self.displaced: list[_Displaced] = []
        self.files: dict[str, tuple[bytes, int]] = {}
        self._values = {
            "SUITE": recipe.suite.name,
            "XEN": chosen.xen_options,
            "LINUX": f" {chosen.linux_options}",
            "SAVE": _NO_SAVE if not chosen.save else "",
            "MEMORY": str(chosen.memory),
            "VNC": chosen.vnc,
            "KEY": chosen.key,
            "CERT": chosen.certificate,
            "ADDRESSES": " ".join(map(str, chosen.hide)),
            "COMMAND": "./inv dom0-config \\\n        "
            + f"--recipe {recipe.name} {chosen.arguments}".replace(" --", " \\\n        --"),
        }
        self._configuration()
        self._scripts()

    def _configuration(self) -> None:
        if self._like.grub_dropin:
            self._add("/etc/default/grub.d/dom0-config.cfg", "grub.cfg")
        else:
            # Out of the folder: grub-mkconfig runs whatever is executable there.
            original = f"/etc/{NAME}/20_linux_xen"
            self.displaced.append(_Displaced("/etc/grub.d/20_linux_xen", original, ""))
            self._add("/etc/grub.d/08_linux_xen", "08_linux_xen", 0o755, ORIGINAL=original)
        self._displace("/etc/default/xendomains", "xendomains")
        if self._like.xend:
            self._displace("/etc/xen/xl.conf", "xl.conf")
            self._displace("/etc/xen/xend-config.sxp", "xend-config.sxp")
        if self._chosen.unified:
            self._add("/usr/sbin/xen-uki", "xen-uki", 0o755)
            self._add("/etc/default/xen-uki", "xen-uki.default")
            manual = texts.gzipped(self._filled("xen-uki.8"))
            self.files["/usr/share/man/man8/xen-uki.8.gz"] = (manual, 0o644)
            for hook in _HOOKS:
                self._add(hook, "xen-uki.hook", 0o755)
        text = f"{self._values['COMMAND']}\n".encode()
        self.files[f"/usr/share/{NAME}/settings"] = (text, 0o644)
        self.files[f"/usr/share/{NAME}/meant"] = (self._meant().encode(), 0o644)
        self._add("/usr/sbin/dom0-check", "dom0-check", 0o755)
        self._add(f"/usr/lib/{NAME}/devices", "devices", 0o755)
        self._add(f"/etc/update-motd.d/60-{NAME}", "motd", 0o755)
        self._add(f"/usr/share/initramfs-tools/hooks/{NAME}", "initramfs-hook", 0o755)
        if self._like.grub_dropin:
            merged = self._recipe.suite.name not in _UNMERGED
            units = "/usr/lib/systemd/system" if merged else "/lib/systemd/system"
            self._add(f"{units}/{_UNIT}.service", f"{_UNIT}.service")
        else:
            self._add(f"/etc/init.d/{_UNIT}", f"{_UNIT}.init", 0o755)

    def _meant(self) -> str:
        """What dom0-check holds the host against: a word, and what follows it."""
        chosen = self._chosen
        lines = [f"memory {chosen.memory}", f"package {self._xen_package()}"]
        lines += [f"xen {word}" for word in chosen.xen_words]
        lines += [f"linux {word}" for word in chosen.linux_words]
        lines += ["microcode"] if chosen.microcode else []
        lines += [f"device {bdf} {chosen.meant.get(bdf, identity.NOTHING)}" for bdf in chosen.hide]
        return "".join(f"{line}\n" for line in lines)

    def _scripts(self) -> None:
        def lines(function: str) -> str:
            return "\n".join(f"        {function} {one.words}".rstrip() for one in self.displaced)

        kind = "systemd" if self._like.grub_dropin else "sysv"
        self._values["ENABLE"] = _template(f"enable-{kind}").strip()
        self._values["DISABLE"] = _template(f"disable-{kind}").strip()
        self._values["DISPLACE"] = lines("displace")
        self._values["RESTORE"] = lines("restore") or "        :"
        self.scripts = {
            name: self._filled(name).encode() for name in ("preinst", "postinst", "prerm", "postrm")
        }

    def _add(self, path: str, template: str, mode: int = 0o644, **more: str) -> None:
        self.files[path] = (self._filled(template, **more).encode(), mode)

    def _displace(self, path: str, template: str) -> None:
        it = _Displaced(path, f"{path}.{NAME}-orig", f"{path}.{NAME}")
        self.displaced.append(it)
        self._add(it.ours, template, ORIGINAL=it.original)

    def _filled(self, template: str, **more: str) -> str:
        values = {**self._values, **more}
        return re.sub(r"@([A-Z]+)@", lambda found: values[found[1]], _template(template))

    def tells(self) -> list[str]:
        """What the package does, in sentences."""
        chosen = self._chosen
        cpus = f" and {chosen.vcpus} virtual CPUs" if chosen.vcpus else ""
        devices = ", ".join(_named(bdf, chosen.meant.get(bdf)) for bdf in chosen.hide)
        told = [
            f"Hidden from dom0, to be handed to guests: {devices}.",
            f"dom0 has {chosen.memory} MiB of memory{cpus}. Xen is what boots by default.",
        ]
        if chosen.meant:
            told.append(
                "Where another device is at such an address, guests that name it do not start."
            )
        if chosen.microcode:
            told.append("Xen loads microcode from the initramfs.")
        if chosen.xen:
            told.append(f"More options of Xen: {' '.join(chosen.xen)}.")
        if chosen.linux:
            told.append(f"More options of dom0's kernel: {' '.join(chosen.linux)}.")
        if not chosen.save:
            told.append("Guests are shut down with the host, not saved.")
        if chosen.unified:
            signed = f" It is signed with {chosen.key}." if chosen.key else ""
            told.append(
                "Where UEFI started the host, a unified image of Xen, its kernel and the initramfs "
                f"is written to the EFI system partition at each change of them.{signed}"
            )
        if self._like.xend:
            told.append(f"xend leaves the network alone; VNC listens on {chosen.vnc}.")
        if exposed(chosen.vnc):
            told.append(f"Warning: {exposed(chosen.vnc)}.")
        return told

    def digest(self) -> str:
        """Of all that is in it, but for the version."""
        told = repr((self.files, self.scripts, sorted(self._control("0").items()), EPOCH))
        documents = self._filled("copyright") + self._readme() + _template("dom0-check.8")
        return hashlib.sha256((told + documents).encode()).hexdigest()[:12]

    def _readme(self) -> str:
        files = [f"    {path} (added)" for path in sorted(self.files) if path.startswith("/etc/")]
        files += [f"    {one.path} (set aside: {one.original})" for one in self.displaced]
        return self._filled(
            "README.Debian", TELLS="\n".join(texts.wrapped(self.tells())), FILES="\n".join(files)
        )

    def _xen_package(self) -> str:
        corrections = self._recipe.finish.get("xen")
        return (corrections.package if corrections else "") or "xen-upstream"

    def _control(self, version: str) -> dict[str, str]:
        corrections = self._recipe.finish.get("xen")
        maintainer = corrections.maintainer if corrections else ""
        description = "\n ".join(
            [
                "settings of this Xen host: hidden PCI devices, dom0's memory",
                *texts.wrapped(self.tells()),
            ]
        )
        return {
            "Package": NAME,
            "Version": version,
            "Architecture": "all",
            "Maintainer": maintainer or "dom0-debs <dom0-debs@builder.invalid>",
            "Depends": ", ".join([self._xen_package(), "grub-common", *self._tools()]),
            "Section": "admin",
            "Priority": "optional",
            "Description": description,
        }

    def _tools(self) -> list[str]:
        """What a unified image is made with."""
        if not self._chosen.unified:
            return []
        return ["binutils", "cpio", *(["sbsigntool"] if self._chosen.key else [])]

    def write(self, path: Path, version: str) -> Path:
        control = self._control(version)
        documents = f"/usr/share/doc/{NAME}"
        changes = texts.changelog(
            NAME, version, self._recipe.suite.name, self.tells(), control["Maintainer"], EPOCH
        )
        added = [
            *(Added(name, data, mode) for name, (data, mode) in sorted(self.files.items())),
            Added(f"{documents}/copyright", self._filled("copyright").encode()),
            Added(f"{documents}/changelog.gz", texts.gzipped(changes)),
            Added(
                "/usr/share/man/man8/dom0-check.8.gz",
                texts.gzipped(_template("dom0-check.8")),
            ),
            Added(f"{documents}/README.Debian", self._readme().encode()),
        ]
        if not self._like.grub_dropin:
            added.append(Added(f"/etc/{NAME}"))
        conffiles = sorted(name for name in self.files if name.startswith("/etc/"))
        triggers = {"triggers": b"interest-noawait /usr/lib/efi\n"} if self._chosen.unified else {}
        files = {
            **self.scripts,
            **triggers,
            "conffiles": "".join(f"{n}\n" for n in conffiles).encode(),
        }
        return deb.create(
            path,
            control,
            control_files=files,
            members=added,
            epoch=EPOCH,
            compression="xz" if self._like.grub_dropin else "gzip",  # dpkg's own in wheezy
        )
