# SPDX-License-Identifier: GPL-2.0-or-later
"""The toolkit for .debs: reads, judges, corrects and compares them.

It knows no recipe, no engine and no network. `deb` reads one package and writes it anew, by way of
`codecs`; `elf` reads what an ELF file needs, `kconfig` the options of a kernel. `corrections` is
what can be stated of a package, and `finish` makes it so. `audit` judges a package by rules,
`compare` the change from one to another.
"""
