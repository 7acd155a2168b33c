# SPDX-License-Identifier: GPL-2.0-or-later
"""The rules, a module for each thing that they are about; the order is that of the modules."""

from builders.audit.rules import boot, control, depends, elf, files, package

__all__ = ["boot", "control", "depends", "elf", "files", "package"]
