# SPDX-License-Identifier: GPL-2.0-or-later
"""From a recipe to finished packages.

`recipe`: what is to be built, as data. `run`: one run of a recipe. `xen` and `kernel` write a
`plan`, `steps` carries it into containers, `stages` keeps what each made. `graph` has the whole
(`Pipeline`), `artifacts` what is current of it, `doctor` what it needs beforehand.
"""
