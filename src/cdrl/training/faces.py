"""Faces to learn emotion from: prepared clips, labelled stills, grey pictures of the FER kind; in memory, small.

Every face knows whose it is, so that nobody is trained on who is reported on, and what its landmarks measure, so that
it can be described in words.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from cdrl.assets import LANDMARKS, listed
from cdrl.datasets.alignment import squares
from cdrl.datasets.grey import read_grey
from cdrl.datasets.prepared import Prepared, PreparedClip
from cdrl.datasets.splits import SYNTHETIC, part
from cdrl.emotions import EMOTIONS, parse_emotion
from cdrl.errors import InputError, InputNotFoundError, UsageError
from cdrl.face.bundle import Floats
from cdrl.face.landmarks import PRESENCE, BundleDetector, Region, Still
from cdrl.files import file_sha256
from cdrl.training.kept import Rows, kept_array
from cdrl.training.progress import track

SIDE = 112
"""Pixels a side that faces are kept at."""
GREY = "fer"
"""The source of grey faces."""
UNKNOWN = -1
"""Number of an emotion that is not known."""
_ENLARGED = 192  # pixels a side at which landmarks are looked for in a grey picture
_LABELLED, _OTHERS = 48, 16  # frames taken of a clip whose emotion is known, and of one whose is not

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Faces:
    """n faces, as columns."""

    pictures: list[Picture]
    """Each [h, h, 3] RGB or [h, h] grey, of any side."""
    emotion: NDArray[np.int64]
    """[n] number in EMOTIONS, or UNKNOWN."""
    blendshapes: NDArray[np.float32]
    """[n, 52]; not a number where no landmarks were found."""
    viseme: NDArray[np.int64]
    """[n] number of the viseme said, UNKNOWN where there is no truth."""
    person: NDArray[np.str_]
    clip: NDArray[np.str_]
    source: NDArray[np.str_]
    """[n] data set: synthetic, fer, stills, or a clip's."""
    part: NDArray[np.str_]
    """[n] train, validation or test."""

    def __len__(self) -> int:
        return len(self.pictures)

    def where(self, chosen: NDArray[np.bool_]) -> Faces:
        """Those faces alone."""
        columns = {name: getattr(self, name)[chosen] for name in _COLUMNS}
        return Faces([self.pictures[i] for i in np.flatnonzero(chosen)], **columns)

    def of(self, wanted: str) -> Faces:
        """The faces of one part."""
        return self.where(self.part == wanted)

    @property
    def labelled(self) -> NDArray[np.bool_]:
        return np.asarray(self.emotion != UNKNOWN)

    @property
    def priors(self) -> NDArray[np.float32]:
        """[n, 7]: how often each face's person shows each emotion; for grey faces, each of another person, all of
        them. A person seen in one emotion alone teaches looks, not emotion: there the label tells nothing new."""
        who = np.where(self.source == GREY, GREY, self.person)
        names, place = np.unique(who, return_inverse=True)
        counts = np.zeros((len(names), len(EMOTIONS)), np.float32)
        np.add.at(counts, (place[self.labelled], self.emotion[self.labelled]), 1)
        return np.asarray((counts / np.maximum(counts.sum(1, keepdims=True), 1))[place], np.float32)

    @property
    def telling(self) -> NDArray[np.bool_]:
        """Whether a face's label tells more than whose face it is."""
        return np.asarray(self.labelled & ((self.priors > 0).sum(1) > 1))

    @property
    def measured(self) -> NDArray[np.bool_]:
        return np.asarray(np.isfinite(self.blendshapes).all(1))


_COLUMNS = ("emotion", "blendshapes", "viseme", "person", "clip", "source", "part")


def joined(several: Sequence[Faces]) -> Faces:
    """All of them; at least one."""
    columns = {name: np.concatenate([getattr(faces, name) for faces in several]) for name in _COLUMNS}
    return Faces([picture for faces in several for picture in faces.pictures], **columns)


def weights(faces: Faces) -> NDArray[np.float64]:
    """[n], sum 1: every source alike in every emotion it shows, within it every person, within them every frame."""
    groups = list(zip(faces.source.tolist(), faces.emotion.tolist(), strict=True))
    own = list(zip(groups, faces.person.tolist(), strict=True))
    frames = Counter(own)
    people = Counter(group for group, _ in frames)
    found = np.array([1 / (people[group] * frames[group, who]) for group, who in own])
    return np.asarray(found / max(found.sum(), 1e-12), np.float64)


def clip_faces(data: Prepared, console: Console, parts: Sequence[str] = ("train", "validation")) -> Faces:
    """Frames of prepared clips, evenly over each clip: more of those whose emotion is known."""
    several = []
    clips = [clip for clip in data.clips if clip.facts.part in parts]
    for clip in track(clips, "reading faces", console):
        several.append(_frames(clip))
    if not several:
        raise UsageError(f"the prepared folders hold no clip of people to {' or '.join(parts)} on")
    return joined(several)


def _frames(clip: PreparedClip) -> Faces:
    facts = clip.facts
    emotion = EMOTIONS.index(facts.emotion) if facts.emotion in EMOTIONS else UNKNOWN
    most = _OTHERS if facts.synthetic or emotion == UNKNOWN else _LABELLED
    chosen = np.unique(np.linspace(0, clip.count - 1, min(most, clip.count)).round().astype(int))
    pictures = [_small(clip.image(int(i))) for i in chosen]
    found = _faces(pictures, emotion, clip.blendshapes[chosen], facts.actor, facts.id, facts.dataset, facts.part)
    return found if clip.truth is None else replace(found, viseme=clip.truth.visemes[chosen])


def _small(picture: Picture) -> Picture:
    return np.asarray(cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def _faces(
    pictures: list[Picture], emotion: int, blendshapes: Floats, person: str, clip: str, source: str, where: str
) -> Faces:
    count = len(pictures)
    texts = (np.full(count, text) for text in (person, clip, source, where))
    numbers = (np.full(count, number, np.int64) for number in (emotion, UNKNOWN))
    return Faces(pictures, next(numbers), np.asarray(blendshapes, np.float32), next(numbers), *texts)


def still_faces(folder: Path, console: Console) -> Faces:
    """The faces of DIR/stills.csv (columns path, emotion, person), aligned as clips are.

    Pictures without a face are counted and said. Raises InputNotFoundError and UsageError where the table is not that.
    """
    table = folder / "stills.csv"
    if not table.is_file():
        raise InputNotFoundError(f"{table}: no such table; --stills takes a folder with it (path,emotion,person)")
    with table.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    missing = {"path", "emotion", "person"} - set(rows[0] if rows else ())
    if missing:
        raise UsageError(f"{table}: no column {', '.join(sorted(missing))}; write path,emotion,person")
    detector, several, lost = BundleDetector(), [], 0
    for row in track(rows, "reading stills", console):
        read = cv2.imread(str(folder / row["path"]), cv2.IMREAD_COLOR)
        if read is None:
            raise InputError(f"{folder / row['path']}: not a picture, or missing; correct {table}")
        still = Still(np.asarray(cv2.cvtColor(read, cv2.COLOR_BGR2RGB), np.uint8))
        points = _points(detector, still)
        if points is None:
            lost += 1
            continue
        square = squares(points[None], np.zeros(1), np.zeros(1, np.int64))[0]
        picture = still.rgb_crop(square.matrix(SIDE), (SIDE, SIDE))
        emotion = EMOTIONS.index(parse_emotion(row["emotion"]))
        person, measured = row["person"], detector.blendshapes(points)[None]
        several.append(_faces([picture], emotion, measured, person, row["path"], "stills", part(person, "stills")))
    if lost:
        console.print(f"{table}: no face found in {lost} of {len(rows)} pictures, left out", highlight=False)
    if not several:
        raise UsageError(f"{table}: no picture with a face")
    return joined(several)


def stills_sha256(folder: Path) -> str:
    """SHA-256 over DIR/stills.csv and every picture that it names, hexadecimal."""
    digest = hashlib.sha256((folder / "stills.csv").read_bytes())
    with (folder / "stills.csv").open(newline="", encoding="utf-8-sig") as file:
        for row in csv.DictReader(file):
            digest.update((folder / row["path"]).read_bytes())
    return digest.hexdigest()


def _points(detector: BundleDetector, still: Still) -> Floats | None:
    regions = detector.regions(still)
    if not regions:
        return None
    first = detector.landmarks(still, regions[0])
    found = detector.landmarks(still, Region.of_landmarks(first.points))
    return found.points if found.presence >= PRESENCE else None


def fer_faces(path: Path, cache: Path, console: Console) -> Faces:
    """Grey faces to train and to validate on; see `cdrl.datasets.grey`. Landmarks are measured once and kept in
    `cache`."""
    grey = read_grey(path).of("train", "validation")
    names = np.array([f"{path.stem}-{index}" for index in range(len(grey.images))])
    shapes = _fer_blendshapes(grey.images, cache, console)
    unknown = np.full(len(names), UNKNOWN, np.int64)
    return Faces(list(grey.images), grey.emotion, shapes, unknown, names, names, np.full(len(names), GREY), grey.part)


def _fer_blendshapes(images: Picture, cache: Path, console: Console) -> NDArray[np.float32]:
    """[n, 52]; not a number where the landmark network sees no face."""

    def measure(done: int) -> Iterator[NDArray[np.float32]]:
        detector = BundleDetector()
        for image in images[done:]:
            large = cv2.resize(image, (_ENLARGED, _ENLARGED), interpolation=cv2.INTER_CUBIC)
            still = Still(np.repeat(np.asarray(large, np.uint8)[..., None], 3, 2))
            first = detector.landmarks(still, Region(_ENLARGED / 2, _ENLARGED / 2, 1.15 * _ENLARGED, 0.0))
            again = detector.landmarks(still, Region.of_landmarks(first.points))
            found = np.full((1, 52), np.nan, np.float32)
            if again.presence >= PRESENCE:
                found[0] = detector.blendshapes(again.points)
            yield found
        yield np.zeros((0, 52), np.float32)

    given = listed()[LANDMARKS].sha256.encode() + str(images.shape).encode() + images.tobytes()
    return kept_array(cache, Rows("grey", "measuring grey faces", given, len(images), measure), console)


def summary(faces: Faces) -> str:
    """What was trained on, in a few words for the list of model files."""
    train = faces.of("train")
    made, grey = train.source == SYNTHETIC, train.source == GREY
    counts = (int(grey.sum()), len(set(train.person[~made & ~grey].tolist())), len(set(train.person[made].tolist())))
    return "{} grey faces, {} real and {} made people in colour".format(*counts)


@dataclass(frozen=True)
class Kind:
    """Faces that have a share of every batch: their numbers, the probability of each, and how many are drawn."""

    rows: NDArray[np.int64]
    probability: NDArray[np.float64]
    count: int


def kinds(faces: Faces, batch: int, grey: float, made: float, described: float) -> list[Kind]:
    """How a batch is made up: shares of grey faces, of made ones, and of others of which a description alone is
    learned; the rest are real people in colour who show more than one emotion."""
    telling = faces.telling
    is_grey, is_made = faces.source == GREY, faces.source == SYNTHETIC
    colour = ~is_grey & ~is_made
    wanted = (
        (is_grey, grey),
        (is_made, made),
        (colour & ~telling & faces.measured, described),
        (colour & telling, 1.0),
    )
    present = [(chosen, share) for chosen, share in wanted if chosen.any() and share > 0]
    found, left = [], batch
    for place, (chosen, share) in enumerate(present):
        count = left if place == len(present) - 1 else min(left, round(batch * share))
        left -= count
        found.append(Kind(np.flatnonzero(chosen), weights(faces.where(chosen)), count))
    return found


def draw_batch(groups: Sequence[Kind], draw: np.random.Generator) -> NDArray[np.int64]:
    """Numbers of the faces of one batch, in random order, so that every process gets some of each kind."""
    rows = [draw.choice(kind.rows, kind.count, p=kind.probability) for kind in groups]
    return draw.permutation(np.concatenate(rows))


def gathered(
    data: Sequence[Path], fer: Path | None, stills: Path | None, cache: Path, console: Console
) -> tuple[Faces, str]:
    """All faces to train and to validate on, and the digest of where they came from.

    Raises UsageError where no source is named, or none of the faces to train on has an emotion.
    """
    several, digests = [], []
    if data:
        prepared = Prepared.open(data)
        several.append(clip_faces(prepared, console))
        digests.append(prepared.digest)
    if fer is not None:
        several.append(fer_faces(fer, cache, console))
        digests.append(file_sha256(fer))
    if stills is not None:
        several.append(still_faces(stills, console))
        digests.append(stills_sha256(stills))
    if not several:
        raise UsageError("no faces to learn from: name --data FOLDER, --fer FILE or --stills FOLDER")
    faces = joined(several)
    if not faces.of("train").labelled.any():
        raise UsageError("no face of the people to train on has an emotion: label some clips, or add --fer or --stills")
    return faces, hashlib.sha256("".join(digests).encode()).hexdigest()
