# SPDX-License-Identifier: GPL-2.0-or-later
"""Hostile packages: a corpus that is made by code, and a mutational fuzzer over it.

    python -m tests.fuzz --minutes 60
    python -m tests.fuzz --count 200000

The one breaks packages for a time, the other runs the verbs on so many (`mutants`).
`kills` ends real work (`works`) at random moments instead.

`targets` are the entry points, `hostile` the packages made to hurt, `seeds` what is mutated.
"""
