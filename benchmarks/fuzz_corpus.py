"""What `fuzz.py` begins with: small real clips in many formats, photos, an edited clip; and what an input is."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Literal

import av
import cv2
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "examples" / "1001_DFA_NEU_XX.flv"
FRAMES, WIDTH, HEIGHT, RATE = 12, 176, 144, 25
SOUND_RATE = 48_000  # Hz

FORMATS: dict[str, tuple[str, str, str, dict[str, str]]] = {  # name → video, pixels, audio, options of the muxer
    "talk.mp4": ("libx264", "yuv420p", "aac", {}),
    "fragments.mp4": ("libx264", "yuv420p", "aac", {"movflags": "frag_keyframe+empty_moov"}),
    "front.mp4": ("mpeg4", "yuv420p", "libmp3lame", {"movflags": "faststart"}),
    "talk.mov": ("prores_ks", "yuv422p10le", "pcm_s16le", {}),
    "talk.mkv": ("libx264", "yuv420p", "flac", {}),
    "talk.webm": ("libvpx-vp9", "yuv420p", "libopus", {}),
    "talk.avi": ("mpeg4", "yuv420p", "libmp3lame", {}),
    "mjpeg.avi": ("mjpeg", "yuvj420p", "pcm_s16le", {}),
    "talk.flv": ("flv", "yuv420p", "", {}),
    "talk.ts": ("mpeg2video", "yuv420p", "mp2", {}),
    "talk.mpg": ("mpeg1video", "yuv420p", "mp2", {}),
    "talk.mxf": ("mpeg2video", "yuv420p", "pcm_s16le", {}),
    "talk.wmv": ("wmv2", "yuv420p", "wmav2", {}),
    "talk.nut": ("ffv1", "yuv420p", "", {}),
    "talk.y4m": ("rawvideo", "yuv420p", "", {}),
    "talk.gif": ("gif", "rgb8", "", {}),
}
PHOTOS = ("face.jpg", "face.png", "face.webp", "face.bmp", "face.tiff")
EDITED, SIDECAR = "edited.mp4", "edited.mp4.provenance.json"
EDITED_MKV = "edited.mkv"
TAKES = ("take.json", "take.csv")
BATCHED = "out"  # folder of a batch's results
JOBS = "source,output,emotion\ntalk.mp4,a.mp4,happy\n"

BATCH = ["batch", "jobs.csv", "--output-folder", "out", "--jobs", "1"]

Expected = Literal["anything", "success", "refusal"]


@dataclass
class Case:
    """One input: a folder and a command in it."""

    words: list[str]
    """The command line, without `cdrl`; or a call of `fuzz_calls`."""
    files: dict[str, bytes] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    pipes: list[str] = field(default_factory=list)
    expected: Expected = "anything"
    results: list[str] = field(default_factory=lambda: ["out.mp4", "out.mp4.provenance.json"])
    """Patterns of what a success may leave."""
    always: list[str] = field(default_factory=list)
    """Patterns of what may be left in any case: a batch's journal."""
    changes: list[str] = field(default_factory=list)
    """Patterns of what may be changed or removed."""
    home: str = ""
    """A folder's name in the files, to be exchanged for that of the input's own, which is as long."""
    then: list[list[str]] = field(default_factory=list)
    """Commands that must succeed, too, where the first one does."""
    kind: str = ""
    index: int = 0
    """Number of the input among those of its kind."""

    def lay_out(self, folder: Path) -> None:
        """Make the folder."""
        for name, content in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content.replace(self.home.encode(), bytes(folder)) if self.home else content)
        for name, target in self.links.items():
            (folder / name).symlink_to(target)
        for name in self.pipes:
            os.mkfifo(folder / name)

    def save(self, path: Path) -> None:
        """Keep it for `--replay`."""
        coded = {name: base64.b64encode(content).decode() for name, content in self.files.items()}
        path.write_text(json.dumps(asdict(self) | {"files": coded}, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Case:
        """What `save` kept."""
        said = json.loads(path.read_text(encoding="utf-8"))
        return cls(**said | {"files": {name: base64.b64decode(text) for name, text in said["files"].items()}})


@dataclass(frozen=True)
class Corpus:
    """Name → content."""

    clips: dict[str, bytes]
    photos: dict[str, bytes]
    edited: dict[str, bytes]
    """Edited clips, and the sidecar of one."""
    takes: dict[str, bytes]
    """Performances."""
    batched: dict[str, bytes]
    """What a batch of `JOBS` leaves in its folder."""
    home: str
    """Where the batch has run."""

    @classmethod
    def read(cls, folder: Path) -> Corpus:
        """What `build` made."""
        read = {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}
        groups = (FORMATS, PHOTOS, (EDITED, SIDECAR, EDITED_MKV), TAKES)
        batched = {path.name: path.read_bytes() for path in sorted((folder / BATCHED).iterdir())}
        clips, photos, edited, takes = ({name: read[name] for name in group} for group in groups)
        return cls(clips, photos, edited, takes, batched, str(folder))


Maker = Callable[[Random, Corpus, int], Case]
"""Makes the input of a number, counted from 0, of a kind."""


def build(folder: Path) -> None:
    """Make the shelf's files."""
    pictures = list(sample_pictures())
    for name, (codec, layout, sound, options) in FORMATS.items():
        write_clip(folder / name, pictures, codec, layout, sound, options)
    for name in PHOTOS:
        assert cv2.imwrite(str(folder / name), pictures[0][:, :, ::-1])
    from cdrl.cli.main import main  # noqa: PLC0415 - the runtime that an edit needs

    clip, happy = str(folder / "talk.mp4"), ["--emotion", "happy", "-o"]
    for name in (EDITED, EDITED_MKV):
        assert main(["edit", clip, *happy, str(folder / name)]) == 0
    for name, form in zip(TAKES, ("json", "livelink-csv"), strict=True):
        assert main(["export", clip, *happy, str(folder / name), "--format", form]) == 0
    (folder / "jobs.csv").write_text(JOBS, encoding="utf-8")
    words = ["--output-folder", str(folder / BATCHED), "--jobs", "1"]
    assert main(["batch", str(folder / "jobs.csv"), *words]) == 0


def quoted(row: dict[str, str]) -> str:
    """A table of one row, each of its values in quotes."""
    values = ('"' + value.replace('"', '""') + '"' for value in row.values())
    return f"{','.join(row)}\n{','.join(values)}\n"


def sample_pictures() -> Iterator[NDArray[np.uint8]]:
    """The face of the bundled clip, frame by frame: RGB [HEIGHT, WIDTH, 3]."""
    with av.open(str(SAMPLE)) as source:
        for _, frame in zip(range(FRAMES), source.decode(video=0), strict=False):
            picture = frame.to_ndarray(format="rgb24")[20:320, 60:420]
            yield np.asarray(cv2.resize(picture, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA), np.uint8)


def write_clip(
    path: Path, pictures: list[NDArray[np.uint8]], codec: str, layout: str, sound: str, options: dict[str, str]
) -> None:
    """A clip of half a second, with a tone where there is to be sound."""
    with av.open(str(path), "w", options=options) as target:
        stream = target.add_stream(codec, rate=RATE, options={"threads": "1"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, layout
        heard = target.add_stream(sound, rate=SOUND_RATE, layout="stereo", bit_rate=96_000) if sound else None
        for picture in pictures:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=layout)
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
        if heard is not None:
            assert isinstance(heard, av.AudioStream)
            times = np.arange(SOUND_RATE * len(pictures) // RATE) / SOUND_RATE
            tone = (3000 * np.sin(2 * np.pi * 200 * times)).astype(np.int16)
            spoken = av.AudioFrame.from_ndarray(np.repeat(tone, 2)[None], format="s16", layout="stereo")
            spoken.sample_rate, spoken.pts = SOUND_RATE, 0
            target.mux(heard.encode(spoken))
            target.mux(heard.encode(None))
