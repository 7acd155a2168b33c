# SPDX-License-Identifier: GPL-2.0-or-later
"""What hangs on each PCI function, and what of it dom0 needs: rules that fill one graph.

Each rule adds edges ("this file system needs that disk") or names what is vital. Sources: sysfs
and /proc as the kernel documents them (Documentation/ABI, proc(5)), and udev's records in
/run/udev/data where there are some. Where a use cannot be seen, the disk or link counts as used.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from builders.host import sysfs as fs
from builders.host.graph import Graph, Node, Vital, function
from builders.host.pci import Bdf

NETWORK = Node("network", "")  # the way to other machines
HIDDEN = ("pciback", "xen-pciback", "vfio-pci")  # drivers that keep a function for guests

# File systems that lie in memory or in the kernel; those that a server holds.
_NOWHERE = {"tmpfs", "ramfs", "rootfs", "devtmpfs", "proc", "sysfs", "autofs"}
_REMOTE = re.compile(r"nfs4?|cifs|smb3|smbfs|ceph|9p|afs|glusterfs|fuse\.(glusterfs|sshfs|ceph.*)")
_REMOTE_DISK = re.compile(r"(nbd|rbd|drbd|dnbd|etherd!)\d?.*")
_NO_DISK = re.compile(r"(loop|ram|zram|sr|fd|dm-|md|bcache|zd|nbd|rbd|drbd)\d.*")
# Drivers of the graphics that a server's management controller shows to whoever looks after it.
_BMC_DRIVERS = ("ast", "mgag200", "hibmc-drm")
_BMC_VENDOR = 0x1A03  # ASPEED


@dataclass(frozen=True)
class Endpoint:
    """What the rules have to know of a PCI function."""

    bdf: Bdf
    code: int
    vendor: int
    driver: str
    boot_vga: bool


@dataclass(frozen=True)
class Mount:
    """A line of /proc/mounts, /proc/self/mountinfo or fstab. number: major:minor, or nothing."""

    source: str
    point: str
    kind: str
    options: str = ""
    number: str = ""


@dataclass
class Uses:
    """The graph, what is vital, and what could not be known."""

    graph: Graph = field(default_factory=Graph)
    vitals: list[Vital] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    disks: set[Node] = field(default_factory=set)  # block devices of hardware
    cards: set[Node] = field(default_factory=set)  # interfaces of hardware
    up: set[str] = field(default_factory=set)  # interfaces with a link

    def vital(self, kind: str, words: str, nodes: Iterable[Node]) -> None:
        """Dom0 needs one of these; nothing is added where there are none."""
        vital = Vital(kind, words, frozenset(nodes))
        if vital.nodes and vital not in self.vitals:
            self.vitals.append(vital)


def read(sysfs: Path, endpoints: Iterable[Endpoint]) -> Uses:
    """All uses that the tree shows; a file that is missing or odd is passed over, no errors."""
    rules = _Rules(sysfs, list(endpoints))
    rules.functions()
    rules.thunderbolt()
    rules.blocks()
    rules.stacks()
    rules.interfaces()
    rules.ways()
    rules.pools()
    rules.mounts()
    rules.swaps()
    rules.stacks_in_use()
    rules.screens()
    rules.keyboards()
    rules.consoles()
    return rules.uses


class _Rules:
    def __init__(self, sysfs: Path, endpoints: list[Endpoint]) -> None:
        self.uses = Uses()
        self._graph = self.uses.graph
        self._sysfs = sysfs
        self._top = fs.real(sysfs)
        self._proc = sysfs.parent / "proc"
        self._endpoints = endpoints
        self._hidden = {function(e.bdf) for e in endpoints if e.driver in HIDDEN}
        self._block = sysfs / "class/block"
        self._blocks = fs.names(self._block)
        self._udev: dict[str, dict[str, str]] = {}
        self._member: dict[str, Node] = {}  # block device -> the file system it is a part of

    # --- the device tree

    def _parts(self, path: Path) -> tuple[str, ...]:
        """The way to a device from the top of sysfs."""
        real = fs.real(path)
        try:
            return real.relative_to(self._top).parts
        except ValueError:
            return real.parts

    def _above(self, path: Path) -> set[Node]:
        """The PCI functions, and the network, that stand between the kernel and a device."""
        parts = self._parts(path)
        nodes = {function(bdf) for bdf in map(Bdf.parse, parts) if bdf}
        if "nvme-subsystem" in parts:
            # A namespace with multipath lies below its subsystem, which links its controllers.
            below = parts[: parts.index("nvme-subsystem") + 2]
            subsystem = self._top.joinpath(*below)
            for name in fs.names(subsystem):
                if re.fullmatch(r"nvme\d+", name) and "nvme-subsystem" not in self._parts(
                    subsystem / name
                ):
                    nodes |= self._above(subsystem / name)
        software_session = any(re.fullmatch(r"session\d+", part) for part in parts) and not nodes
        if "nvme-fabrics" in parts or software_session:
            nodes.add(NETWORK)
        return nodes

    def _nearest(self, path: Path) -> Node | None:
        """The last PCI function on the way to a device."""
        bdfs = [bdf for bdf in map(Bdf.parse, self._parts(path)) if bdf]
        return function(bdfs[-1]) if bdfs else None

    def functions(self) -> None:
        """A function needs those above it in the tree; a virtual one its physical one."""
        for endpoint in self._endpoints:
            at = self._sysfs / "bus/pci/devices" / str(endpoint.bdf)
            node = function(endpoint.bdf)
            for need in self._above(at):
                self._graph.add(node, need)
            physical = Bdf.parse(fs.link(at / "physfn"))
            if physical:
                self._graph.add(node, function(physical))
                if node in self._hidden:
                    words = "a virtual function of it is kept for a guest"
                    self.uses.vital("virtual", words, [node])

    def thunderbolt(self) -> None:
        """Tunnels end when their host controller goes: USB4 and Thunderbolt, sysfs-bus-thunderbolt.

        A router is DOMAIN-ROUTE; route 0 is the host itself.
        """
        bus = self._sysfs / "bus/thunderbolt/devices"
        for name in fs.names(bus):
            host = self._nearest(bus / name)
            if host and re.fullmatch(r"\d+-[0-9a-f]*[1-9a-f][0-9a-f]*", name):
                node = Node("dock", name)
                self._graph.add(node, host)
                label = fs.text(bus / name / "device_name") or name
                self.uses.vital("dock", f"what is plugged into Thunderbolt ({label})", [node])

    # --- disks

    def blocks(self) -> None:
        """A partition needs its disk, a disk the functions above it."""
        for name in self._blocks:
            at, node = self._block / name, Node("block", name)
            for need in self._above(at):
                self._graph.add(node, need)
            if fs.there(at / "partition"):
                self._graph.add(node, Node("block", fs.real(at).parent.name))
            elif not _NO_DISK.fullmatch(name) or name.startswith("sr"):
                self.uses.disks.add(node)
            if _REMOTE_DISK.fullmatch(name):
                self._graph.add(node, NETWORK)

    def stacks(self) -> None:
        """Device mapper (LVM, encryption, multipath), md and bcache: slaves/ and holders/."""
        for name in self._blocks:
            for slave in fs.names(self._block / name / "slaves"):
                self._graph.add(Node("block", name), Node("block", slave))
            for holder in fs.names(self._block / name / "holders"):
                self._graph.add(Node("block", holder), Node("block", name))

    def stacks_in_use(self) -> None:
        """What is stacked on a disk is in use, by a guest perhaps, mounted or not."""
        for name in self._blocks:
            node = Node("block", name)
            stacked = any(need.kind == "block" for need in self._graph.needs.get(node, ()))
            if stacked and not fs.there(self._block / name / "partition"):
                label = fs.text(self._block / name / "dm/name")
                self.uses.vital("stack", f"{label} ({name})" if label else name, [node])

    def pools(self) -> None:
        """File systems of several disks, and those that another mount namespace has mounted."""
        for kind, below in (("btrfs", "devices"), ("bcachefs", "")):
            folder = self._sysfs / "fs" / kind
            for uuid in fs.names(folder):
                members = fs.names(folder / uuid / below)
                if kind == "bcachefs":
                    links = [fs.link(folder / uuid / m / "block") for m in members]
                    members = [link for link in links if link]
                pool = Node(kind, uuid)
                for member in members:
                    self._graph.add(pool, Node("block", member))
                    self._member[member] = pool
                if members:
                    label = fs.text(folder / uuid / "label")
                    self.uses.vital("pool", f"{kind} {label or uuid}", [pool])
        for kind in ("ext4", "xfs", "f2fs", "jfs", "nilfs2", "erofs"):
            for name in fs.names(self._sysfs / "fs" / kind):
                if name in self._blocks:
                    self.uses.vital("pool", f"a mounted {kind} ({name})", [Node("block", name)])

    def _record(self, name: str) -> dict[str, str]:
        """What udev wrote down of a block device (/run/udev/data/bMAJOR:MINOR)."""
        if name not in self._udev:
            number = fs.text(self._block / name / "dev")
            record: dict[str, str] = {}
            if re.fullmatch(r"\d{1,9}:\d{1,9}", number):
                at = self._sysfs.parent / "run/udev/data" / f"b{number}"
                for line in fs.lines(at) or []:
                    key, _, value = line.removeprefix("E:").partition("=")
                    if line.startswith("E:"):
                        record[key] = value
                    elif line.startswith("S:"):
                        record[f"/dev/{line[2:]}"] = ""
            self._udev[name] = record
        return self._udev[name]

    def _by_source(self, source: str, number: str) -> list[str]:
        """The block devices that a mount, a swap or fstab names; more for bcachefs."""
        found = []
        for word in source.split(":"):
            name = self._by_tag(word) if "=" in word else self._by_path(word)
            if name:
                found.append(name)
        if number and not number.startswith("0:"):
            found += [n for n in self._blocks if fs.text(self._block / n / "dev") == number]
        return found

    def _by_tag(self, word: str) -> str:
        tag, _, value = word.partition("=")
        keys = {"UUID": "ID_FS_UUID", "LABEL": "ID_FS_LABEL"}
        keys |= {"PARTUUID": "ID_PART_ENTRY_UUID", "PARTLABEL": "ID_PART_ENTRY_NAME"}
        key, value = keys.get(tag, ""), value.strip('"')
        for name in self._blocks if key and value else []:
            if self._record(name).get(key, "").lower() == value.lower():
                return name
        return self._by_path(f"/dev/disk/by-{tag.lower()}/{value}")

    def _by_path(self, path: str) -> str:
        if not path.startswith("/dev/") or ".." in path:
            return ""
        name = path.removeprefix("/dev/")
        mapped = name.removeprefix("mapper/")
        if mapped == name and name.count("/") == 1:  # /dev/GROUP/VOLUME of LVM
            mapped = "-".join(part.replace("-", "--") for part in name.split("/"))
        for known in self._blocks:
            if known.startswith("dm-") and fs.text(self._block / known / "dm/name") == mapped:
                return known
        flat = name.replace("/", "!")
        if flat in self._blocks:
            return flat
        link = fs.link(self._sysfs.parent / path.lstrip("/"))
        if link in self._blocks:
            return link
        return next((known for known in self._blocks if path in self._record(known)), "")

    # --- mounts and swap

    def mounts(self) -> None:
        """A mount needs its block device, its server, or the mount that its file lies on."""
        mounts = self._mounted()
        if mounts is None:
            self.uses.notes.append(
                f"{self._proc / 'mounts'} cannot be read: which disks are in use is not known"
            )
            self._any_disk("may be in use: the mounts are not known")
            return
        points = sorted({m.point for m in mounts}, key=len, reverse=True)
        rooted: dict[bool, tuple[bool, Mount]] = {}
        seen: set[str] = set()
        unseen: dict[str, str] = {}  # mount point -> source that no block device is known of
        for mount in mounts:
            node = Node("mount", mount.point)
            needs = self._mount_needs(mount, points)
            for need in needs:
                self._graph.add(node, need)
            known = bool(needs) or mount.kind in _NOWHERE
            if mount.point == "/":
                rooted[bool(mount.number)] = (known, mount)  # the last one on / is what counts
            elif mount.kind == "zfs" or mount.source.startswith("/dev/"):
                unseen.setdefault(mount.point, mount.source)
            if needs:
                self.uses.vital("mount", mount.point, [node])
                seen.add(mount.point)
        self._loops(points)
        if not any(known for known, _ in rooted.values()):
            source = next((mount.source for _, mount in rooted.values()), "") or "not mounted"
            self.uses.notes.append(f"the controller of / ({source}) is not known: look yourself")
            self._any_disk(f"may carry / ({source})")
        for point in sorted(unseen.keys() - seen):
            self._any_disk(f"may carry {point} ({unseen[point]})")
        self._fstab()

    def _mounted(self) -> list[Mount] | None:
        found: list[Mount] = []
        plain, full = fs.lines(self._proc / "mounts"), fs.lines(self._proc / "self/mountinfo")
        for line in full or []:
            left, _, right = line.partition(" - ")
            first, last = left.split(), right.split()
            if len(first) >= 6 and len(last) >= 2:
                options = last[2] if len(last) > 2 else ""
                point = fs.unescaped(first[4])
                found.append(Mount(fs.unescaped(last[1]), point, last[0], options, first[2]))
        for line in plain or []:
            words = line.split()
            if len(words) >= 3:
                options = words[3] if len(words) > 3 else ""
                point = fs.unescaped(words[1])
                found.append(Mount(fs.unescaped(words[0]), point, words[2], options))
        return None if plain is None and full is None else found

    def _mount_needs(self, mount: Mount, points: list[str]) -> set[Node]:
        blocks = [] if mount.kind in _NOWHERE else self._by_source(mount.source, mount.number)
        needs = {Node("block", name) for name in blocks if self._seen(name)}
        needs |= {self._member[name] for name in blocks if name in self._member}
        if _REMOTE.fullmatch(mount.kind):
            needs.add(self._way_to(mount))
        if mount.kind == "overlay":
            for option in mount.options.split(","):
                key, _, value = option.partition("=")
                if key in ("lowerdir", "upperdir"):
                    holders = {_holding(path, points) for path in value.split(":")} - {"", "/"}
                    needs |= {Node("mount", point) for point in holders}
        if mount.kind == "zfs":
            pool = mount.source.split("/")[0]
            needs |= {Node("block", name) for name in self._zfs_members(pool)}
        return needs - {Node("mount", mount.point)}

    def _seen(self, name: str) -> bool:
        """Whether it can be seen what a block device lies on, the machine's memory included."""
        if not _NO_DISK.fullmatch(name) or re.fullmatch(r"(zram|ram|sr|fd)\d.*", name):
            return True
        reached = self._graph.under([Node("block", name)])
        below = {node.name for node in reached if node.kind == "block"} - {name}
        backing = fs.text(self._block / name / "loop/backing_file")
        return bool(below or backing or NETWORK in reached)

    def _zfs_members(self, pool: str) -> list[str]:
        """The disks of a pool by udev; none where one disk or more has no record."""
        disks = [n for n in self._blocks if not _NO_DISK.fullmatch(n)]
        records = {name: self._record(name) for name in disks}
        if not all(records.values()):
            return []
        return [
            name
            for name, record in records.items()
            if record.get("ID_FS_TYPE") == "zfs_member"
            and record.get("ID_FS_LABEL", pool) in (pool, "")
        ]

    def _loops(self, points: list[str]) -> None:
        """A loop device needs the file system that its file lies on."""
        for name in self._blocks:
            backing = fs.text(self._block / name / "loop/backing_file")
            if backing:
                point = _holding(backing, points)
                self._graph.add(Node("block", name), Node("mount", point or "/"))

    def _any_disk(self, words: str) -> None:
        """What is there and of no known use may be what is needed and not seen."""
        for name in self._blocks:
            at = self._block / name
            if not _NO_DISK.fullmatch(name) and not fs.there(at / "partition"):
                self.uses.vital("unseen", words, [Node("block", name)])

    def _fstab(self) -> None:
        """What fstab(5) mounts at boot or on demand, such as /boot/efi, may not be mounted now."""
        for line in fs.lines(self._sysfs.parent / "etc/fstab") or []:
            words = line.split()
            if len(words) < 3 or words[0].startswith("#") or words[2] in _NOWHERE:
                continue
            source, point = fs.unescaped(words[0]), fs.unescaped(words[1])
            for name in self._by_source(source, ""):
                node = Node("mount" if words[2] != "swap" else "swap", point)
                self._graph.add(node, Node("block", name))
                self.uses.vital(node.kind, point if words[2] != "swap" else name, [node])

    def swaps(self) -> None:
        """Swap on a disk, and in a file on a mount (proc(5))."""
        points = [v.words for v in self.uses.vitals if v.kind == "mount"]
        points.sort(key=len, reverse=True)
        for line in fs.lines(self._proc / "swaps") or []:
            words = line.split()
            if len(words) < 2 or not words[0].startswith("/"):
                continue
            path = fs.unescaped(words[0])
            node = Node("swap", path)
            blocks = self._by_source(path, "") if path.startswith("/dev/") else []
            for name in blocks:
                self._graph.add(node, Node("block", name))
            if words[1] == "file":
                self._graph.add(node, Node("mount", _holding(path, points) or "/"))
            elif not blocks:
                self._any_disk(f"may carry swap ({path})")
            self.uses.vital("swap", path, [node])

    # --- network

    def interfaces(self) -> None:
        """A link needs its card; bonds, bridges, VLANs and the like what they are made of."""
        net = self._sysfs / "class/net"
        names = fs.names(net)
        numbers = {fs.text(net / name / "ifindex"): name for name in names}
        numbers.pop("", None)
        for name in names:
            at, node = net / name, Node("net", name)
            for need in self._above(at):
                self._graph.add(node, need)
            for entry in fs.names(at):
                if entry.startswith("lower_"):
                    self._graph.add(node, Node("net", entry.removeprefix("lower_")))
                elif entry.startswith("upper_"):
                    self._graph.add(Node("net", entry.removeprefix("upper_")), node)
            for upper in (fs.link(at / "master"), fs.link(at / "brport/bridge")):
                if upper:
                    self._graph.add(Node("net", upper), node)
            for lower in [*fs.text(at / "bonding/slaves").split(), *fs.names(at / "brif")]:
                self._graph.add(node, Node("net", lower))
            below = numbers.get(fs.text(at / "iflink"), "")
            if below and not self._above(at):
                self._graph.add(node, Node("net", below))
            state = fs.text(at / "operstate")
            if state == "up" or (state == "unknown" and fs.text(at / "carrier") == "1"):
                self.uses.up.add(name)
        for line in fs.lines(self._proc / "net/vlan/config") or []:
            words = [word.strip() for word in line.split("|")]
            if len(words) == 3 and words[0] in names:
                self._graph.add(Node("net", words[0]), Node("net", words[2]))

    def ways(self) -> None:
        """The default routes, or, where none is known, whatever has a link."""
        self.uses.cards |= set(self._cards())
        cards = [node for node in self._cards() if not self._graph.under([node]) & self._hidden]
        linked = [node for node in cards if node.name in self.uses.up]
        shown = ", ".join(node.name for node in (linked or cards)[:4])
        if linked and len(self._functions(cards)) > len(self._functions(linked)):
            words = f"the only network card with a link ({shown})"
        else:
            words = f"the only network card ({shown})"
        self.uses.vital("network", words, linked or cards)
        routes = [node for node in self._routes() if self._functions([node])]
        for node in routes:
            self._graph.add(NETWORK, node)
            self.uses.vital("network", f"the default route goes through it ({node.name})", [node])
        if routes:
            return
        for node in linked or cards:
            self._graph.add(NETWORK, node)
            uppers = [n for n in self._graph.needed_by.get(node, ()) if n.kind == "net"]
            for upper in sorted(uppers):
                self.uses.vital("network", f"{node.name} is a part of {upper.name}", [upper])

    def _cards(self) -> list[Node]:
        """The interfaces of hardware."""
        names = fs.names(self._sysfs / "class/net")
        virtual = ("devices", "virtual")
        return [
            Node("net", name)
            for name in names
            if self._parts(self._sysfs / "class/net" / name)[:2] != virtual
            and fs.there(self._sysfs / "class/net" / name)
            and name != "lo"
        ]

    def _functions(self, nodes: Iterable[Node]) -> set[Node]:
        return {node for node in self._graph.under(nodes) if node.kind == "pci"}

    def _routes(self) -> list[Node]:
        """The interfaces of the default routes that the kernel prefers, for IPv4 and IPv6."""
        best: list[Node] = []
        four = [
            (int(words[6]), words[0])
            for words in map(str.split, fs.lines(self._proc / "net/route") or [])
            if len(words) >= 8 and words[1] == "00000000" and words[7] == "00000000"
            if re.fullmatch(r"\d{1,10}", words[6])
        ]
        six = [
            (int(words[5], 16), words[9])
            for words in map(str.split, fs.lines(self._proc / "net/ipv6_route") or [])
            if len(words) >= 10 and words[0] == "0" * 32 and words[1] == "00" and words[9] != "lo"
            if re.fullmatch(r"[0-9a-f]{8}", words[5])
        ]
        for routes in (four, six):
            least = min(routes, default=(0, ""))[0]
            best += [Node("net", name) for metric, name in routes if metric == least]
        return list(dict.fromkeys(best))

    def _way_to(self, mount: Mount) -> Node:
        """The interface to the server of a mount, by the most specific route; or any link."""
        found = re.search(r"(?:^|,)addr=([0-9.]+)", mount.options)
        host = found[1] if found else mount.source.lstrip("/").split(":")[0].split("/")[0]
        try:
            server = int.from_bytes(ipaddress.IPv4Address(host).packed, "little")
        except ValueError:
            return NETWORK
        ways: list[tuple[int, str]] = []
        for words in map(str.split, fs.lines(self._proc / "net/route") or []):
            if len(words) >= 8 and all(re.fullmatch(r"[0-9A-F]{8}", words[n]) for n in (1, 7)):
                mask = int(words[7], 16)
                if server & mask == int(words[1], 16):
                    ways.append((mask.bit_count(), words[0]))
        return Node("net", max(ways)[1]) if ways else NETWORK

    # --- the console

    def screens(self) -> None:
        """The last screen; one that has a monitor counts before one that has none."""
        cards = [e for e in self._endpoints if e.code >> 16 == 0x03 and e.driver not in HIDDEN]
        drm = self._sysfs / "class/drm"
        plugged, connectors = set(), set()
        for name in fs.names(drm):
            nearest = self._nearest(drm / name)
            if nearest and re.fullmatch(r"card\d+-.+", name) and "Writeback" not in name:
                connectors.add(nearest)
                if fs.text(drm / name / "status") == "connected":
                    plugged.add(nearest)
        nodes = {
            function(e.bdf)
            for e in cards
            # A 3D controller has no way out to a screen.
            if e.code >> 8 != 0x0302 or function(e.bdf) in connectors
        }
        words = "the only graphics card: the console goes dark"
        if plugged & nodes and plugged & nodes != nodes:
            words = "the only graphics card with a monitor: the console goes dark"
        self.uses.vital("screen", words, plugged & nodes or nodes)
        for e in cards:
            if e.vendor == _BMC_VENDOR or e.driver in _BMC_DRIVERS:
                words = "the screen of the server's own management (BMC)"
                self.uses.vital("screen", words, [function(e.bdf)])

    def keyboards(self) -> None:
        """The last keyboard: USB, PS/2 (serio), I2C or virtual."""
        folder = self._sysfs / "class/input"
        sure, perhaps = [], []
        for name in fs.names(folder):
            at, node = folder / name, Node("input", name)
            parts = self._parts(at)
            if any(re.fullmatch(r"input\d+", part) for part in parts[:-1]):
                continue  # eventN, mouseN: other faces of an inputN
            above = self._above(at)
            for need in above:
                self._graph.add(node, need)
            keys = fs.text(at / "capabilities/key").split()
            if keys:
                # As udev's test_key: all of the keys 1 to 31.
                word = int(keys[-1], 16) if re.fullmatch(r"[0-9a-f]{1,16}", keys[-1]) else 0
                if word & 0xFFFFFFFE == 0xFFFFFFFE:
                    sure.append(node)
            elif above or any(part.startswith("serio") for part in parts):
                perhaps.append(node)
        nodes = [n for n in sure or perhaps if not self._graph.under([n]) & self._hidden]
        self.uses.vital("keyboard", "the only keyboard or other input hangs on it", nodes)

    def consoles(self) -> None:
        """The serial ports that the kernel writes its console to."""
        words = fs.text(self._proc / "cmdline").split()
        names = [w.removeprefix("console=").split(",")[0] for w in words if "console=" in w[:8]]
        names += fs.text(self._sysfs / "class/tty/console/active").split()
        for name in dict.fromkeys(names):
            if not re.fullmatch(r"tty[A-Za-z][A-Za-z0-9]*", name):
                continue
            node = Node("console", name)
            for need in self._above(self._sysfs / "class/tty" / name):
                self._graph.add(node, need)
            self.uses.vital("console", f"the kernel's console is on it ({name})", [node])


def _holding(path: str, points: list[str]) -> str:
    """The longest of the mount points (sorted so) that `path` lies below."""
    for point in points:
        if path == point or path.startswith(point.rstrip("/") + "/"):
            return point
    return ""
