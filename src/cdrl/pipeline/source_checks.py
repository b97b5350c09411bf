"""What a source must be for its edit, checked without the networks."""

from __future__ import annotations

from cdrl.errors import InputError
from cdrl.media import VideoInfo
from cdrl.plan import EditPlan


def check_video(info: VideoInfo) -> VideoInfo:
    """Refuse a photo as the source of an edit. Raises InputError."""
    if info.photo:
        raise InputError(f"{info.path} is a photo: give a video (photos serve as --reference)")
    return info


def fit_plan(plan: EditPlan, info: VideoInfo) -> EditPlan:
    """Fit a plan to a clip: timecodes by its rate, all segments within its length. Raises UsageError."""
    plan = plan.at_rate(info.rate)
    if info.duration is not None:
        plan.check_within(info.duration)
    return plan
