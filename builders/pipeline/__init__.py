# SPDX-License-Identifier: GPL-2.0-or-later
"""From a recipe to finished packages.

`recipe`: what is to be built, as data. `run`: one run of a recipe. `xen` and `kernel` write a
`plan`, `supplies` has the image and the sources for it, `steps` carries it into containers,
`finishing` corrects what comes out. `stages` keeps what each made, `record` says from what. `graph`
has the whole (`Pipeline`), `matrix` several of them side by side, `farm` other machines that make
their stages; `artifacts` is a manifest, `current` what that names, `doctor` what a build needs
beforehand.
"""
