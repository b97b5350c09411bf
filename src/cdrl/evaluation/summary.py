"""From evaluated clips to numbers to trust: people as units, shares of real clips, paired differences."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import bootstrap

from cdrl.errors import UsageError
from cdrl.evaluation.json_numbers import finite_or_none
from cdrl.evaluation.measure_registry import (
    ALL_EMOTIONS,
    COLUMNS,
    EXCLUDED_FROM_MEAN,
    MINIMUM_PEOPLE,
    ONE_PERSON,
    PAIRED,
)

Row = dict[str, Any]

_FACTS = ["method", "block", "person", "emotion", "source", "reference", "failed", "has_real"]
_CLIP = ["block", "source", "emotion", "reference"]
"""What tells apart the clips that two methods are compared on."""
_DRAWS = 2000
UNDEFINED = {
    "share": "for some emotion there is no real clip, or the network gives real clips none of it",
    "share_capped": "for some emotion there is no real clip, or the network gives real clips none of it",
    "identity_margin": "nobody has a real clip of another emotion to be compared with",
}
"""Number of a method → why it has no value, where it has none."""


def make_table(rows: Sequence[Row]) -> pd.DataFrame:
    """Lay rows out as a table: a line each, facts and measures as columns, NaN where a measure has no value."""
    facts = pd.DataFrame(rows, columns=_FACTS)
    facts["reference"] = [row.get("reference") or "" for row in rows]
    facts["has_real"] = ["csim" in row["measures"] for row in rows]
    measures = pd.DataFrame([row["measures"] for row in rows], columns=[*COLUMNS, "fad_frames"])
    return facts.join(measures.astype(float).replace([np.inf, -np.inf], np.nan))


def make_real_table(real: Sequence[Row]) -> pd.DataFrame:
    """Lay real clips out as a table; `p` is the probability of the emotion that each shows."""
    flat = [{**row, "p": row["p"][row["emotion"]]} for row in real]
    table = pd.DataFrame(flat, columns=["person", "emotion", "p", "identity", "identity_others"])
    return table.astype(dict.fromkeys(["p", "identity", "identity_others"], float))


def average_people(table: pd.DataFrame) -> pd.DataFrame:
    """Return each person's means: a line a person, a column a measure; over emotions of the mean over their clips.

    Clips without a value are left out; a person with none at all has NaN.
    """
    measures = [name for name in table if name not in _FACTS]
    return table.groupby(["person", "emotion"])[measures].mean().groupby("person").mean()


def estimate_mean(people: pd.Series) -> Row:
    """Average each person's number; a person with many clips counts once.

    Args:
        people: Numbers by person; one at least.

    Returns:
        `mean`; `low` and `high`, the 95 % percentile interval of a bootstrap over people (clips of one person are not
        independent), both None, and `reason`, for one person; `people`, the numbers themselves.
    """
    return {"mean": float(people.mean()), **_bootstrap(people.to_numpy(), np.mean), "people": people.to_dict()}


def _bootstrap(sample: NDArray[Any], statistic: Callable[..., Any]) -> Row:
    """The 95 % interval of a statistic of a sample, one entry a person."""
    if len(sample) < MINIMUM_PEOPLE:
        return {"low": None, "high": None, "reason": ONE_PERSON}
    random = np.random.default_rng(0)
    resampled = bootstrap((sample,), statistic, n_resamples=_DRAWS, method="percentile", rng=random)
    low, high = resampled.confidence_interval
    return {"low": float(low), "high": float(high)}


def estimate_emotion_mean(values: pd.DataFrame) -> Row:
    """Average as the paper does: the mean over people for each emotion, then the mean over emotions.

    Args:
        values: [people, emotions] of one measure, NaN where a person has none; no person without any.

    Returns:
        As `estimate_mean`, the interval again over people; and `emotions`, the value of each.
    """
    cells, emotions = values.to_numpy(), values.mean()

    def average(drawn: NDArray[np.intp], axis: int) -> NDArray[np.floating]:
        """Average all draws [draws, people] at once, for SciPy names the axis of the people: the last one."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # an emotion that nobody in a draw has is left out of it
            means: NDArray[np.floating] = np.nanmean(np.nanmean(cells[drawn], axis=-2), axis=-1)
        return means

    interval = _bootstrap(np.arange(len(values)), average)
    people = values.mean(axis=1).to_dict()
    return {"mean": float(emotions.mean()), **interval, "people": people, "emotions": emotions.dropna().to_dict()}


def average_real(real: pd.DataFrame, emotion: str) -> pd.Series:
    """Return the mean p(emotion) of each person's own real clips of it, by person."""
    return real[real["emotion"] == emotion].groupby("person")["p"].mean()


def share_of_real(table: pd.DataFrame, real: pd.DataFrame, emotion: str) -> Row | None:
    """Compute p(target) of edited clips over that of real ones, one emotion.

    Returns:
        `p`: mean over people. `real`: mean over the same people of the p of their own real clips of that emotion, or,
        for who has none, the mean over all people of the data; None without a real clip. `share`: their ratio; where
        `real` is None or 0 it is None, and `reason` says why. `own`: who has real clips. None where nobody was asked
        for the emotion.
    """
    edited = average_people(table[table["emotion"] == emotion])["p_target"].dropna()
    if edited.empty:
        return None
    own = average_real(real, emotion)
    target = None if own.empty else float(own.reindex(edited.index).fillna(own.mean()).mean())
    p = float(edited.mean())
    cell: Row = {"p": p, "real": target, "share": p / target if target else None}
    if not target:
        cell["reason"] = "no real clip shows it" if target is None else "the network gives real clips none of it"
    return {**cell, "own": sorted(set(edited.index) & set(own.index)), "people": list(edited.index)}


def share_of_means(shares: Sequence[Row]) -> float | None:
    """Compute p(target) over that of real clips of several emotions, given `share_of_real` of each.

    A ratio of means: where the network hardly sees one person's real emotion, a mean of ratios would be that person's.
    None for no emotion, or where one of them has no real clip, or real clips show nothing of any.
    """
    real = [share["real"] for share in shares]
    total = None if None in real else sum(real)
    return sum(share["p"] for share in shares) / total if total else None


def average_measures(table: pd.DataFrame, paper: bool) -> Row:
    """Return the mean of each measure that has one, over people or, in the paper's setting, over emotions."""
    if not paper:
        people = average_people(table)
        return {measure: estimate_mean(means) for measure in COLUMNS if len(means := people[measure].dropna())}
    cells = table.groupby(["person", "emotion"])[list(COLUMNS)].mean()
    grids = {measure: cells[measure].unstack().dropna(how="all") for measure in COLUMNS}
    return {measure: estimate_emotion_mean(grid) for measure, grid in grids.items() if len(grid)}


def _summarize_method(table: pd.DataFrame, real: pd.DataFrame, excluded: Collection[str], paper: bool) -> Row:
    averaged = table[~table["emotion"].isin(excluded)]
    result: Row = {
        "clips": len(averaged),
        "failed": int(averaged["failed"].notna().sum()),
        "measures": average_measures(averaged, paper),
        **_describe_real_frames(averaged),
    }
    shares = {emotion: share_of_real(table, real, emotion) for emotion in ALL_EMOTIONS}
    result["emotions"] = {emotion: share for emotion, share in shares.items() if share is not None}
    counting = [share for emotion, share in result["emotions"].items() if emotion not in excluded]
    result["share"] = share_of_means(counting)
    known = [share["share"] for share in counting]
    result["share_capped"] = float(np.mean([min(s, 1) for s in known])) if known and None not in known else None
    identity = average_people(averaged)["identity"]
    margins = identity - real[real["emotion"] != "neutral"].groupby("person")["identity"].mean()
    result["identity_margin"] = finite_or_none(margins.mean())
    result["reasons"] = {name: why for name, why in UNDEFINED.items() if result[name] is None}
    return result


def _describe_real_frames(table: pd.DataFrame) -> Row:
    """Count the real frames behind FAD and CSIM.

    `fad_frames`: fewest and most frames on each side of a FAD; `without_real`: of how many people and emotions the
    outputs have no real clip to be compared with (FAD and CSIM leave them out).
    """
    edited = table[table["failed"].isna()]
    counts = edited["fad_frames"].dropna()
    without = edited[~edited["has_real"].astype(bool)].drop_duplicates(["person", "emotion"])
    return {"fad_frames": [int(counts.min()), int(counts.max())] if len(counts) else None, "without_real": len(without)}


def compare_methods(
    table: pd.DataFrame, first: str, second: str, excluded: Collection[str] = EXCLUDED_FROM_MEAN
) -> dict[str, Row]:
    """Subtract `second` from `first` on the clips both were given, less those of the excluded emotions.

    Returns:
        Measure → `estimate_mean` of each person's mean difference; `median` over the pairs, each a source and an
        emotion (and a reference, where there are several); for how many people the first is `better`; how many `clips`.
    """
    averaged = table[~table["emotion"].isin(excluded)]
    sides = [averaged[averaged["method"] == name].drop_duplicates(_CLIP, keep="last") for name in (first, second)]
    one, two = (side.set_index(_CLIP).sort_index() for side in sides)
    common = one.index.intersection(two.index)
    one, two = one.loc[common], two.loc[common]
    result: dict[str, Row] = {}
    for measure in PAIRED:
        differences = (one[measure] - two[measure]).dropna()
        if len(differences):
            people = differences.groupby(one["person"]).mean()
            better = people < 0 if COLUMNS[measure].lower else people > 0
            counts = {"median": float(differences.median()), "better": int(better.sum()), "clips": len(common)}
            result[measure] = {**estimate_mean(people), **counts}
    return result


def parse_pairs(pairs: Sequence[str]) -> list[tuple[str, str]]:
    """Read texts `NAME:NAME`, which the last colon divides, as (first, second).

    Raises:
        UsageError: A text is none of the kind.
    """
    named = [text.rpartition(":")[::2] for text in pairs]
    for text, (first, second) in zip(pairs, named, strict=True):
        if not first or not second or first == second:
            raise UsageError(f"--pairs {text!r}: write NAME:NAME, two methods of the table")
    return named


def _name_pairs(names: Sequence[str], pairs: Sequence[tuple[str, str]] | None) -> Row:
    """Key of a difference → its two methods. Asked ones as they are; by default cdrl's first row and each other."""
    if pairs is not None:
        return {f"{a} − {b}": [a, b] for a, b in pairs if a in names and b in names}
    ours = next((name for name in names if name.startswith("cdrl")), None)
    return {name: [ours, name] for name in names if name != ours} if ours else {}


def summarize(
    rows: Sequence[Row],
    real: Sequence[Row],
    pairs: Sequence[tuple[str, str]] | None = None,
    paper: bool = False,
) -> Row:
    """Summarize every block, and all together.

    Args:
        rows: Facts and measures of each output.
        real: Of each real clip, see `References.describe_real_clips`.
        pairs: (first, second): what is subtracted from what; by default cdrl paired with each other method.
        paper: Whether means are the paper's: of every emotion, fear and neutral, too, and of emotions before people.

    Returns:
        `blocks`: of each its `methods` (means, intervals, shares), `paired` differences, and the two methods of each
        of their keys (`pairs`). `averaged`: emotions that are in means. `real_identity`, `others_identity`: cosines of
        real emotional clips to neutral clips of the same person and of others.
    """
    table, real_table = make_table(rows), make_real_table(real)
    excluded = () if paper else EXCLUDED_FROM_MEAN
    blocks: Row = {}
    for block in (*dict.fromkeys(table["block"]), "all"):
        inside = table if block == "all" else table[table["block"] == block]
        names = list(dict.fromkeys(inside["method"]))
        compared = _name_pairs(names, pairs)
        blocks[block] = {
            "methods": {
                name: _summarize_method(inside[inside["method"] == name], real_table, excluded, paper) for name in names
            },
            "pairs": compared,
            "paired": {
                key: compare_methods(inside, first, second, excluded) for key, (first, second) in compared.items()
            },
        }
    compared = real_table[real_table["person"].isin(table["person"]) & (real_table["emotion"] != "neutral")]
    return {
        "averaged": [emotion for emotion in ALL_EMOTIONS if emotion not in excluded],
        "blocks": blocks,
        "real_identity": compared.groupby("person")["identity"].mean().dropna().to_dict(),
        "others_identity": finite_or_none(compared["identity_others"].mean()),
    }
