# SPDX-License-Identifier: GPL-2.0-or-later
"""A .deb as data (deb(5), format 2.0): read and rewritten as a stream, never unpacked.

Nothing that a file declares is believed: sizes are compared with what is there, and what has
to be held in memory has a limit. What dpkg itself would not unpack is refused.
"""

from builders.debkit.deb.ar import Member
from builders.debkit.deb.control import Control, dump_control, ordered, parse_control
from builders.debkit.deb.controltar import CONTROL_LIMIT, CONTROL_TAR_LIMIT
from builders.debkit.deb.edit import Added, Edit
from builders.debkit.deb.error import DebError
from builders.debkit.deb.oddities import Oddity, pass_over
from builders.debkit.deb.reading import Deb, Index
from builders.debkit.deb.tar import Content, Entry, installed_size, is_file
from builders.debkit.deb.writing import create, rewrite

__all__ = [
    "CONTROL_LIMIT",
    "CONTROL_TAR_LIMIT",
    "Added",
    "Content",
    "Control",
    "Deb",
    "DebError",
    "Edit",
    "Entry",
    "Index",
    "Member",
    "Oddity",
    "create",
    "dump_control",
    "installed_size",
    "is_file",
    "ordered",
    "parse_control",
    "pass_over",
    "rewrite",
]
