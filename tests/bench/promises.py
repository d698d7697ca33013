# SPDX-License-Identifier: Apache-2.0
"""Figures of a bench beside what the project promises of them."""


def report(limits, values):
    """Prints each; limits: ((figure, at most), …). Returns how many are worse."""
    worse = 0
    for (what, limit), value in zip(limits, values, strict=True):
        worse += value > limit
        print(f"{what:62}{value:8.2f}   at most {limit:.2f}   {'ok' if value <= limit else 'WORSE'}")
    return worse
