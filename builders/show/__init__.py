# SPDX-License-Identifier: GPL-2.0-or-later
"""What is said of results: as tables for people, and in the forms that programs read.

findings, sarif and github: the reports of the audit. rules: its rules in words. changes: what
differs between two packages. trials: what became of packages that were tried.
"""
