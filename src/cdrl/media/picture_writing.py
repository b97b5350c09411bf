"""The edited clip as numbered pictures, PNG or EXR, which appear in their folder together or not at all."""

from __future__ import annotations

import os
import shutil
from collections import deque
from collections.abc import Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import av

from cdrl.errors import OutputError, OutputExistsError, UsageError
from cdrl.files import EXISTS, file_sha256, sidecar_path, sync, take_name, temporary_path
from cdrl.media import losses
from cdrl.media.decoding import error_text, pluralize
from cdrl.media.encoding import CONTAINERS, PICTURE_ENDINGS, EncoderOptions
from cdrl.media.exr import require_exr
from cdrl.media.frames import Frame
from cdrl.media.limits import Limits
from cdrl.media.numbering import EXR, ImageSequence, NumberPattern
from cdrl.media.opening import check_path, open_container
from cdrl.media.outputs import FULL_DISK, report_write_errors
from cdrl.media.parts import ClipPart
from cdrl.media.picture_encoding import PictureEncoder
from cdrl.media.probing import VideoInfo
from cdrl.media.reading import mean_duration
from cdrl.media.sound import write_wav
from cdrl.media.threads import available_cores

FIRST, DIGITS = 1, 4
"""Number of the first picture, and least digits, where the source is a film."""


class PictureMarker(Protocol):
    """What each picture says of itself, and what is said beside all of them."""

    sidecar: Path
    """A file that appears with the pictures, or not at all."""

    def list_replaced(self) -> Collection[str]:
        """Names of the pictures that an older sidecar of this name tells of."""
        ...

    def label(self, start: Fraction, end: Fraction, edited: bool, held: Mapping[str, str]) -> Mapping[str, str]:
        """Texts of a picture that is shown from `start` to `end`, seconds; `held` are those of the source's."""
        ...

    def finalize(self, pictures: Mapping[str, str], sound: Mapping[str, str]) -> bytes:
        """The sidecar's content; `pictures` and `sound` are names and SHA-256 in order."""
        ...


def output_pattern(output: Path, source: ImageSequence | None) -> NumberPattern:
    """The names of the pictures that an output stands for.

    Args:
        output: A pattern, or a folder: there they are called and numbered as the source's pictures, or as the folder,
            and are EXR where those are, else PNG.
        source: The source, where it is numbered pictures.

    Raises:
        UsageError: The output names a film, one picture, or pictures that are neither PNG nor EXR; or EXR is asked for
            and OpenEXR not installed.
    """
    if output.suffix.lower() in CONTAINERS:
        raise UsageError(f"{output} names a film: numbered pictures take a folder, or a pattern as in shot_%04d.png")
    pattern = NumberPattern.parse(output)
    if pattern is None and output.suffix.lower() not in PICTURE_ENDINGS:
        if source is not None:
            suffix = EXR if source.is_exr else ".png"  # of EXR OpenEXR is there already
            return NumberPattern(output, source.pattern.prefix, source.pattern.digits, suffix)
        folder = output.resolve() if output.name in ("", "..") else output
        return NumberPattern(output, f"{folder.name}_", DIGITS, ".png")
    if pattern is None:
        numbered = f"{output.stem}_%04d{output.suffix}"
        raise UsageError(f"{output} names one picture: number them, as in {numbered}, or name a folder")
    if pattern.path.suffix.lower() not in PICTURE_ENDINGS:
        endings = " or ".join(PICTURE_ENDINGS)
        raise UsageError(f"{output}: numbered pictures are PNG or EXR: end the name in {endings}, or name a folder")
    if pattern.path.suffix.lower() == EXR:
        require_exr()
    return pattern


def output_path(output: Path, source: ImageSequence | None, options: EncoderOptions) -> Path:
    """The name of a result: for numbered pictures the pattern that an output stands for."""
    return output_pattern(output, source).path if options.is_sequence else output


def check_pictures_output(pattern: NumberPattern, source: ImageSequence | None, overwrite: bool) -> None:
    """Raises OutputError or OutputExistsError where pictures of a pattern cannot or must not be written."""
    folder = pattern.folder
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file: name a folder for the pictures")
    place = folder if folder.exists() else folder.absolute().parent
    if not place.is_dir():
        raise OutputError(f"{pattern.path}: there is no folder {place}; create it first")
    if not os.access(place, os.W_OK | os.X_OK):
        raise OutputError(f"{pattern.path}: no permission to write in {place}; choose another folder")
    if source is not None and pattern.is_like(source.pattern):
        raise OutputError(f"{pattern.path} are named as the pictures of the input: name a folder, or them otherwise")
    if overwrite or not folder.exists():
        return
    others = [name for name in (sidecar_path(pattern.path).name, f"{pattern.name}.wav") if (folder / name).exists()]
    taken = next(iter(sorted(find_pictures(pattern).values())), None) or next(iter(others), None)
    if taken is not None:
        raise OutputExistsError(f"{folder / taken} {EXISTS}")


def find_pictures(pattern: NumberPattern) -> dict[int, str]:
    """Number → name of the files in the folder that fit a pattern."""
    names = [path.name for path in pattern.folder.iterdir()] if pattern.folder.is_dir() else []
    return {number: name for name in names if (number := pattern.number_of(name)) is not None}


class SequenceWriter:
    """Writes the frames of a clip as numbered pictures, in a `with` block: on a clean exit all appear, else none does.

    PNG is RGB of 8 bits, or of 16 where the source has more; EXR is light in half floats. Of an RGB source
    (`read(keep_rgb=True)`) a picture is the source's own numbers, transparency included, plus what the edit changed; so
    what it leaves alone is equal, and an EXR that is not edited is copied. Sound lies beside the pictures as WAV, from
    the first one on. `notes` says what was changed or left out, complete after the exit.

    Raises UsageError, OutputExistsError, OutputError.
    """

    def __init__(
        self,
        path: str | Path,
        info: VideoInfo,
        options: EncoderOptions = EncoderOptions(),  # noqa: B008 - frozen
        *,
        part: ClipPart | None = None,
        layer: bool = False,
        overwrite: bool = False,
        marker: PictureMarker | None = None,
        limits: Limits = Limits(),  # noqa: B008 - frozen
    ) -> None:
        """Prepare.

        Args:
            path: A pattern, or a folder; see `output_pattern`.
            info: The clip that the frames come from.
            options: How they are written.
            part: Which frames of the clip they are, where not all.
            layer: Whether pictures hold only what differs from the source's, transparent elsewhere, without sound.
            overwrite: Replace the pictures that are there.
            marker: Labels each picture, and makes a sidecar.
            limits: What the clip may hold.
        """
        self.pattern = output_pattern(Path(path), info.sequence)
        self.path = self.pattern.path
        self.info = info
        self.overwrite = overwrite
        self._part = part
        self._layer = layer
        self.marker = marker
        self.notes: list[str] = []
        self._encoder = PictureEncoder(info, self.path.suffix, layer, limits)
        self.n_copied = 0
        """Pictures that are the source's own files: EXR that were not edited."""
        self._is_repainted = False
        """Whether a picture was written without the source's own numbers."""
        self._limits = limits
        self._n_threads = options.threads or available_cores()
        self._digests: dict[str, str] = {}
        self._sound: dict[str, str] = {}
        self._pending: deque[tuple[str, Future[str]]] = deque()
        self._lengths: set[int] = set()
        """Ticks from one frame to the next; what a frame says of its own duration may leave gaps."""
        self._last_pts: int | None = None
        self._has_captions = False
        self._begin: Fraction | None = None
        """When the first picture is shown, in seconds on the clip's clock."""
        self._stack = ExitStack()

    def __enter__(self) -> SequenceWriter:
        check_pictures_output(self.pattern, self.info.sequence, self.overwrite)
        folder = self.pattern.folder
        self._is_new = not folder.exists()
        with self._stack:
            with report_write_errors(self.path, "the folder"):
                place = folder.absolute() if self._is_new else folder.absolute() / "pictures"
                self._temporary = temporary_path(place)
                self._temporary.mkdir()
            self._stack.callback(shutil.rmtree, self._temporary, ignore_errors=True)
            self._threads = self._stack.enter_context(ThreadPoolExecutor(self._n_threads))
            self._stack = self._stack.pop_all()
        return self

    def write(self, frame: Frame, source: Frame | None = None, *, edited: bool = True) -> None:
        """Write the next picture; `source` is the frame before the edit, `edited` whether the edit changed it."""
        time = frame.pts * frame.time_base
        self._begin = time if self._begin is None else self._begin
        first = FIRST if self.info.sequence is None else self.info.sequence.first
        number = first + (frame.index if self.info.sequence is None else frame.pts)
        name = self.pattern.file(number).name
        if self._last_pts is not None:
            self._lengths.add(frame.pts - self._last_pts)
        self._last_pts = frame.pts
        self._has_captions = self._has_captions or bool(frame.captions)
        texts: Mapping[str, str] = {}
        if self.marker is not None:
            end = frame.time + (frame.duration or mean_duration(self.info)) * frame.time_base
            texts = self.marker.label(frame.time, end, edited, self._encoder.held_texts(number))
        self.n_copied += self._encoder.keeps(edited=edited)
        self._is_repainted = self._is_repainted or source is None or source.pixels is None
        task = self._threads.submit(
            self._encoder.write, self._temporary / name, number, frame, source, texts, edited=edited
        )
        self._pending.append((name, task))
        if len(self._pending) > self._n_threads:
            self._collect()

    def __exit__(self, kind: type[BaseException] | None, *raised: object) -> None:
        with self._stack:  # whatever happens: threads ended, temporary folder gone
            if kind is None:
                self._finish()
            for _, task in self._pending:
                task.cancel()

    def _finish(self) -> None:
        while self._pending:
            self._collect()
        if not self._digests or self._begin is None:
            raise OutputError(f"{self.path}: no frame was written, so there is nothing to save")
        if max(self._lengths, default=1) > min(self._lengths, default=1) + 1:
            self.notes.append("frames last unevenly, which numbered pictures cannot say: each is one picture")
        self._note_losses()
        with report_write_errors(self.path, "the folder"):
            if not self._layer:
                self._note_what_lies_beside()
                self._write_sound(self._begin)
            if self.marker is not None:
                sidecar = self._temporary / self.marker.sidecar.name
                sidecar.write_bytes(self.marker.finalize(self._digests, self._sound))
                sync(sidecar)
            sync(self._temporary)
            own = () if self.marker is None else self.marker.list_replaced()
            removed, others = _place(self._temporary, self.pattern, own, self.overwrite, is_new=self._is_new)
        if removed:
            self.notes.append(f"{pluralize(removed, 'picture')} of an older, longer result went, as --overwrite asks")
        if others:
            self.notes.append(f"{pluralize(others, 'picture')} of no known edit stay among the new ones")

    def _collect(self) -> None:
        """Wait for the oldest picture."""
        name, task = self._pending.popleft()
        with report_write_errors(self.path, "the folder"):
            self._digests[name] = task.result()

    def _note_losses(self) -> None:
        """Say what of the picture numbered pictures cannot say."""
        info, kind = self.info, self.path.suffix[1:].upper()
        if info.first_field:
            self.notes.append(losses.INTERLACED)
        if info.channels and not self._layer and (not self._encoder.is_exr or self._is_repainted):
            self.notes.append(losses.CHANNELS.format(", ".join(info.channels)))
        # Chunks of the source's own PNG keep it.
        if info.sample_aspect != 1 and not self._encoder.is_exr and (info.sequence is None or info.sequence.is_exr):
            self.notes.append(f"the shape of the pixels ({info.sample_aspect}) is left out: they are written as square")
        if info.hdr is not None and self._encoder.is_exr:
            self.notes.append(losses.LIGHT.format(kind))
        if self._encoder.is_half_transparent:
            self.notes.append(losses.HALF_TRANSPARENT)
        if info.icc_profile and self._encoder.is_exr:
            self.notes.append("the color profile is left out: the light is taken as that of sRGB")
        elif info.icc_profile[16:20] == b"GRAY":
            self.notes.append("the color profile is left out: it is one of gray, and pictures are written as RGB")

    def _note_what_lies_beside(self) -> None:
        """Say what beside picture and sound is left out; a timecode lies in the sidecar."""
        if self._has_captions:
            self.notes.append(losses.CAPTIONS.format(self.path.suffix[1:].upper()))
        with open_container(check_path(self.info.first_file, self._limits), self._limits) as source:
            chapters = source.chapters()
            timed = {stream.index for stream in source.streams if stream.metadata.get("timecode")}
        if chapters:
            self.notes.append("chapters are left out: pictures cannot hold them")
        if self.info.timecode and self.marker is None:
            self.notes.append(f"the timecode {self.info.timecode} is left out: without provenance nothing holds it")
        for track in self.info.tracks:
            is_held = track.kind == "data" and (
                (track.codec == "bin_data" and chapters) or (track.index in timed and self.info.timecode)
            )
            if track.kind != "audio" and not is_held:
                self.notes.append(f"{track} is left out: pictures cannot hold it")

    def _write_sound(self, begin: Fraction) -> None:
        """Write each audio track as WAV."""
        end = None if self._part is None or self._part.stop is None else self.info.start + self._part.stop
        for count, track in enumerate(self.info.audio, start=1):
            name = f"{self.pattern.name}{f'_{count}' if count > 1 else ''}.wav"
            try:
                damage = write_wav(self._temporary / name, self.info, track, begin, end, self._limits)
            except (av.FFmpegError, ValueError) as error:
                if getattr(error, "errno", None) in FULL_DISK:
                    raise
                self.notes.append(f"{track} is left out: it cannot be written as WAV ({error_text(error)})")
                (self._temporary / name).unlink(missing_ok=True)
                continue
            self._sound[name] = file_sha256(self._temporary / name)
            self.notes.append(f"{track} lies beside the pictures: {name}")
            if str(damage):
                self.notes.append(f"{track} is damaged: {damage}")


def _place(
    temporary: Path, pattern: NumberPattern, own: Collection[str], overwrite: bool, *, is_new: bool
) -> tuple[int, int]:
    """Give the finished pictures their names, all of them or none.

    A folder that is not there yet appears in one step. In one that is, what is replaced is put aside first, and comes
    back where a name turns out to be taken or the user interrupts.

    Args:
        temporary: The folder of the finished pictures.
        pattern: Their names.
        own: Names of an older result's pictures, which are removed where the new one does not replace them.
        overwrite: Whether what is there may be replaced.
        is_new: Whether the folder is not there yet.

    Returns:
        How many pictures of an older result were removed, and how many others fit the pattern and stay.
    """
    folder = pattern.folder.absolute()
    if is_new:
        temporary.rename(folder)  # fails where a folder with something in it has appeared
        sync(folder.parent)
        return 0, 0
    finished = sorted((path.name for path in temporary.iterdir()), key=lambda name: (not name.endswith(".json"), name))
    there = {path.name for path in folder.iterdir() if path.is_symlink() or path.is_file()} if overwrite else set()
    beside = there & set(find_pictures(pattern).values()) - set(finished)
    obsolete = sorted(beside & set(own))
    aside = temporary / "replaced"
    aside.mkdir()
    try:
        for name in finished:
            if name in there:
                (folder / name).replace(aside / name)
            take_name(temporary / name, folder / name, overwrite=overwrite)
        for name in obsolete:
            (folder / name).replace(aside / name)
    except BaseException:
        for name in finished:
            if not (temporary / name).exists():
                (folder / name).unlink(missing_ok=True)
        for path in aside.iterdir():
            path.replace(folder / path.name)
        raise
    return len(obsolete), len(beside) - len(obsolete)
