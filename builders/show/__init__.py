# SPDX-License-Identifier: GPL-2.0-or-later
"""What is said: the one place that prints, in forms for people and for programs.

`face` prints, and turns errors into exit codes; `terminal` draws what is under way. `reports`:
what verbs made or fetched. `findings`, `sarif` and `github`: the reports of the audit. `rules`: its
rules in words. `changes`: what differs between two packages. `trials`: what became of packages
that were tried.
"""
