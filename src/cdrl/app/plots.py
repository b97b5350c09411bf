"""A report's curves as tables for the page's plots."""

from __future__ import annotations

import pandas as pd

from cdrl.pipeline.report import Report

_MOST = 600  # points of a line; more are not seen


def lips(report: Report) -> pd.DataFrame:
    """Lip opening over time, source and edited."""
    found = report.curves()["lip_opening"]
    return _long(found["time_s"], {name: found[name] for name in ("source", "edited")}, "opening")


def curves(report: Report) -> pd.DataFrame:
    """Amount of each emotion over time."""
    found = report.curves()["emotion"]
    return _long(found["time_s"], found["amount"], "amount")


def _long(times: list[float], lines: dict[str, list[float]], name: str) -> pd.DataFrame:
    every = max(1, -(-len(times) // _MOST))
    return pd.DataFrame({"s": times, **lines}, dtype=float)[::every].melt("s", var_name="line", value_name=name)
