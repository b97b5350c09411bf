"""Which of several faces is followed, as a user says it."""

from __future__ import annotations

from cdrl.errors import UsageError

FACE_CHOICES = ("largest", "left", "right")
"""Words that choose a face; a number from 1 counts faces from the left."""

_MAX_DIGITS = 6  # of a face's number; Python does not read thousands of them


def parse_face(face: str) -> str | int:
    """Read which face is to be followed.

    Args:
        face: `largest`, `left`, `right`, or a number from 1 that counts faces from the left.

    Returns:
        The word in lower case, or the number.

    Raises:
        UsageError: The text is none of these.
    """
    text = str(face).strip().lower()
    if text in FACE_CHOICES:
        return text
    if text.isdecimal() and len(text) <= _MAX_DIGITS and int(text) >= 1:
        return int(text)
    raise UsageError(f"unknown face {face!r}: choose largest, left, right, or a number from 1 (counted from the left)")


def explain_no_face(face: str, most_faces: int, frames: int) -> str:
    """Say why no face was followed in any of `frames` frames, and what to do.

    Args:
        face: The face that was asked for, as `parse_face` takes it.
        most_faces: The most faces found in one frame.
        frames: Number of frames searched.
    """
    if most_faces and str(face).isdecimal() and int(face) > most_faces:
        seen = "1 face is" if most_faces == 1 else f"{most_faces} faces are"
        return f"at most {seen} seen in one frame, so there is no face {face}: give a number up to {most_faces}"
    if most_faces:
        return (
            f"faces are found (at most {most_faces} in one frame), but none can be followed in any of {frames} frames"
        )
    return (
        f"no face in any of {frames} frames, so nothing to edit; a face must be seen from the front, at least a few "
        "dozen pixels wide"
    )
