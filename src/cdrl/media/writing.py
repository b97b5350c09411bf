"""The edited clip as a file: frames encoded, everything else copied, and the final name only for a whole file."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import av
from av.codec.context import Flags as CodecFlags
from av.container import OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from cdrl.errors import InputError, OutputError, UsageError
from cdrl.files import atomic_path, sync, take_name, temporary_path
from cdrl.media import losses
from cdrl.media.captions import CODECS as CAPTIONED_CODECS
from cdrl.media.captions import add_captions
from cdrl.media.conversion import FrameConverter
from cdrl.media.encoding import (
    INTERMEDIATE_SETTINGS,
    SMALLEST_DNXHR,
    EncoderOptions,
    check_encoder,
    codec_of,
    container_of,
    encoder_layouts,
    encoder_settings,
    holds_alpha,
    target_format,
)
from cdrl.media.fields import FIELD_ORDER, FieldMarker
from cdrl.media.finishing import complete_film
from cdrl.media.frames import Frame, PixelFormat
from cdrl.media.labels import FILMS, carry_labels, is_file_label, muxer_options
from cdrl.media.layout import Orientation, alpha_name
from cdrl.media.limits import Limits
from cdrl.media.opening import check_path, open_container
from cdrl.media.outputs import check_output, report_write_errors
from cdrl.media.parts import ClipPart
from cdrl.media.probing import VideoInfo, main_video
from cdrl.media.reading import mean_duration
from cdrl.media.tracks import TrackCopier


class OutputFinalizer(Protocol):
    """What is put on a whole clip before it gets its name, and what is said beside it."""

    sidecar: Path
    """A file that appears with the clip, or not at all."""
    labels: Mapping[str, str]
    """Labels of the clip, written before its first frame."""

    def finalize(self, whole: Path) -> bytes:
        """Complete the clip in `whole`; returns the sidecar's content."""
        ...


class Writer:
    """Writes one clip, in a `with` block: on a clean exit the file appears under its name, whole; otherwise none does.

    `info` is the clip the frames come from: its times, color tags, audio, subtitles and labels go with them.
    `size` (width, height) where the frames written are not of the clip's own size. `part`: which frames of the clip
    they are, where not all; the result begins with the first of them, and its sound, too. `layer`: only what differs
    from the source's frame, transparent elsewhere and without sound. `metadata` adds labels (title, comment, ...);
    `finalizer` completes the clip and gives it a sidecar. `notes` says what was changed or left out, complete after the
    exit.
    Raises UsageError, OutputExistsError, OutputError.
    """

    def __init__(
        self,
        path: str | Path,
        info: VideoInfo,
        options: EncoderOptions = EncoderOptions(),  # noqa: B008 - frozen
        *,
        size: tuple[int, int] | None = None,
        part: ClipPart | None = None,
        layer: bool = False,
        overwrite: bool = False,
        metadata: Mapping[str, str] | None = None,
        finalizer: OutputFinalizer | None = None,
        limits: Limits = Limits(),  # noqa: B008 - frozen
    ) -> None:
        self.path = Path(path)
        self.info = info
        self.options = options
        self.size = size or (info.width, info.height)
        self.overwrite = overwrite
        self._part = part
        self._layer = layer
        self.metadata = {**(metadata or {}), **(finalizer.labels if finalizer is not None else {})}
        self.finalizer = finalizer
        self.notes: list[str] = []
        self._limits = limits
        self._format = container_of(self.path)
        self._codec = codec_of(options, self._format, self.path, deep=info.is_deep)
        self._encoder = check_encoder(self._codec)
        self._shift = round(info.start / info.time_base) if info.rebased else 0  # in ticks of the picture
        self._pending: av.VideoFrame | Packet[Any] | None = None
        """The last frame given, or its packet: it is encoded once the next one tells how long it is shown."""
        self._pending_pts = 0
        self._captions: dict[int, bytes] = {}
        """Time in ticks → captions of the frames that the encoder has not given back."""
        self._n_captions_lost = 0
        self._copies = False
        self._ready: dict[int | None, Packet[Any]] = {}
        self._order: deque[int | None] = deque()
        """Times of the pictures that were given and are not written yet."""
        self.n_copied = 0
        """Frames whose packets were copied."""
        self._rounded = False
        self._is_made_opaque = False
        self._stack = ExitStack()

    def __enter__(self) -> Writer:
        self._final = Path(os.path.realpath(self.path))
        check_output(self.path, self._final, self.info.path, self.overwrite)
        if self.finalizer is not None:
            with report_write_errors(
                self.path, "the folder and the options"
            ):  # a name may fit, and with what a sidecar adds be too long
                check_output(self.finalizer.sidecar, self.finalizer.sidecar, self.info.path, self.overwrite)
        self._temporary = temporary_path(self._final)
        with self._stack:
            with report_write_errors(self.path):
                os.close(os.open(self._temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            self._stack.callback(self._temporary.unlink, missing_ok=True)
            source_path = check_path(self.info.first_file, self._limits)
            self._source = self._stack.enter_context(open_container(source_path, self._limits))
            self._output: OutputContainer | None = None
            self._stack = self._stack.pop_all()
        return self

    def write(self, frame: Frame, source: Frame | None = None, *, edited: bool = True) -> None:
        """Encode `frame` and copy what is heard and read until then. Frames come in order of their `pts`.

        `source` is the frame before the edit. `edited` says whether the frame may differ from the one that was read:
        where it doesn't, its packet is copied if it can stay as it is.
        """
        if (frame.width, frame.height) != self.size:
            expected = f"{self.size[0]}x{self.size[1]}"
            raise UsageError(
                f"frame {frame.index} is {frame.width}x{frame.height}, but the clip is written as {expected}"
            )
        pts = round(frame.pts * frame.time_base / self.info.time_base)
        if self._part is not None and self._output is None:
            self._shift = pts
        pts -= self._shift
        if self._pending is not None and pts <= self._pending_pts:
            raise UsageError(f"frame {frame.index} is not after the frame before it: write frames in order of time")
        self._rounded = self._rounded or (1000 * pts * self.info.time_base).denominator != 1
        with report_write_errors(self.path):
            if self._output is None:
                self._begin(frame.format)
            if self._pending is not None:
                self._pending.duration = pts - self._pending_pts
                self._mux(self._pending)
            self._keep_captions(frame.captions, pts)
            self._check_alpha(frame)
            copied = None if edited else self._copy_packet(frame, pts)
            self._pending, self._pending_pts = copied or self._picture(frame, source, pts), pts
            self._pending.duration = frame.duration or 0
            self._tracks.advance(frame.pts * frame.time_base)

    def __exit__(self, kind: type[BaseException] | None, *raised: object) -> None:
        with self._stack:  # whatever happens: source closed, temporary file gone
            if kind is None:
                self._finish()
            elif self._output is not None:
                with suppress(av.FFmpegError, OSError):
                    self._output.close()

    def _finish(self) -> None:
        if self._output is not None and self._converter.is_half_transparent:
            self.notes.append(losses.HALF_TRANSPARENT)
        if self._format.milliseconds and self._rounded:
            self.notes.append(f"times are rounded to milliseconds, as {self._format.name} stores them")
        if self._output is None or self._pending is None:
            raise OutputError(f"{self.path}: no frame was written, so there is nothing to save")
        with report_write_errors(self.path):
            try:
                self._pending.duration = self._pending.duration or mean_duration(self.info)
                self._mux(self._pending)
                self._mux(None)
                self._tracks.finish()
            finally:
                self._output.close()
            covers = self._tracks.covers
            self.notes += complete_film(self._temporary, self.info, self._format, self._codec, covers)
            self._check_picture()
            content = None if self.finalizer is None else self.finalizer.finalize(self._temporary)
            sync(self._temporary)
            self._take_names(content)

    def _mux(self, picture: av.VideoFrame | Packet[Any] | None) -> None:
        """Encode a picture, or what the encoder still holds for None, and write what comes out; packets are ready."""
        assert self._output is not None
        for packet in [picture] if isinstance(picture, Packet) else self._stream.encode(picture):
            captions = self._captions.pop(packet.pts, b"") if self._captions and packet.pts is not None else b""
            whole = add_captions(packet, captions, self._codec) if captions else packet
            if self._copies:  # which overtake what the encoder still holds
                self._ready[whole.pts] = whole
            else:
                self._output.mux(whole)
        if self._copies and picture is not None:
            self._order.append(picture.pts)
        while self._order and self._order[0] in self._ready:
            self._output.mux(self._ready.pop(self._order.popleft()))

    def _copy_packet(self, frame: Frame, pts: int) -> Packet[Any] | None:
        """The packet of an unchanged frame, where it can stay as it is."""
        if not self._copies or not frame.packet:
            return None
        packet: Packet[Any] = Packet(frame.packet)
        packet.pts = packet.dts = pts
        packet.time_base, packet.is_keyframe, packet.stream = self.info.time_base, True, self._stream
        self.n_copied += 1
        return packet

    def _can_copy(self) -> bool:
        """Whether packets of the source fit between those of the encoder: the same codec, profile, size and colors."""
        info, source = self.info, self._source.streams[self.info.stream_index].codec_context
        encoder = self._stream.codec_context
        if self._codec not in INTERMEDIATE_SETTINGS or source.codec.canonical_name != encoder.codec.canonical_name:
            return False
        encoder.open()
        target = (self._padded, self._target.matrix, self._target.full_range, bool(self._alpha_layout))
        own = ((info.width, info.height), info.format.matrix, info.format.full_range, info.alpha)
        fits = (
            target == own and info.orientation == Orientation() and bool(info.first_field) == (self._fields is not None)
        )
        # A frame of FFV1 is read by what the header of the stream says.
        same_header = self._codec != "ffv1" or source.extradata == encoder.extradata
        return fits and same_header and source.profile == encoder.profile

    def _tag_colors(self, picture: av.VideoFrame) -> None:
        """Say of the picture what is said of the stream: ProRes writes it into each frame."""
        context = self._stream.codec_context
        picture.colorspace, picture.color_range = context.colorspace, context.color_range
        picture.color_primaries, picture.color_trc = context.color_primaries, context.color_trc

    def _keep_captions(self, captions: bytes, pts: int) -> None:
        """Remember what is to be written beside the frame at `pts`."""
        if self._layer:
            return
        if captions and self._codec in CAPTIONED_CODECS:
            self._captions[pts] = captions
        elif captions and not self._n_captions_lost:
            self._n_captions_lost += 1
            self.notes.append(losses.CAPTIONS.format(self._codec))

    def _check_alpha(self, frame: Frame) -> None:
        """Say once that transparency is left out, where there is some."""
        if self._alpha_layout or self._is_made_opaque or frame.alpha is None:
            return
        if (frame.alpha != frame.format.maximum).any():
            self._is_made_opaque = True
            self.notes.append(losses.TRANSPARENCY)

    def _check_picture(self) -> None:
        """Raises OutputError where the muxer has left the picture out without a word: damaged times may not fit."""
        try:
            with open_container(self._temporary, self._limits) as written:
                main_video(written, self._temporary)
        except InputError:
            raise OutputError(
                f"{self.path}: the times of {self.info.path} do not fit into {self._format.name}: choose another "
                "ending, or repair the source first"
            ) from None

    def _take_names(self, content: bytes | None) -> None:
        """Write the sidecar, where there is one, then give the clip its name: where that fails, neither is.

        In this order a clip under its name always has its sidecar, also after a crash.
        """
        ours: Path | None = None
        try:
            if self.finalizer is not None and content is not None:
                sidecar = self.finalizer.sidecar
                existed = sidecar.exists()
                with atomic_path(sidecar, overwrite=self.overwrite) as temporary:
                    temporary.write_bytes(content)
                ours = None if existed else sidecar
            take_name(self._temporary, self._final, overwrite=self.overwrite)
        except BaseException:
            if ours is not None and self._temporary.exists():  # else a signal came when the clip had its name already
                ours.unlink(missing_ok=True)
            raise

    def _begin(self, source: PixelFormat) -> None:
        """Open the encoder and the output for frames of format `source`."""
        info = self.info
        keeps_alpha = self._layer or (info.alpha and holds_alpha(self._codec, self._format))
        self._target, note = target_format(
            source, self._encoder, self.options, info.pixels, hdr=info.color.hdr and self._codec != "vp9",
            alpha=keeps_alpha,
        )  # fmt: skip
        layout = alpha_name(self._target)
        self._alpha_layout = layout if keeps_alpha and layout in encoder_layouts(self._encoder) else ""
        self._padded = self._even_size()
        self._fields = self._choose_fields()
        self._converter = FrameConverter(
            self.size, self._padded, self._target, self._alpha_layout, self._fields, bool(info.first_field)
        )
        least = SMALLEST_DNXHR
        if self._codec == "dnxhr" and (self.size[0] < least[0] or self.size[1] < least[1]):
            sizes = " but ".join("x".join(map(str, size)) for size in (least, self.size))
            raise UsageError(
                f"{self.path}: the profile dnxhr needs at least {sizes} is asked for: choose prores or ffv1"
            )
        if note:
            self.notes.append(note)
        if info.channels and not self._layer:
            self.notes.append(losses.CHANNELS.format(", ".join(info.channels)))
        labels = {key: text for key, text in self._source.metadata.items() if not is_file_label(key)} | self.metadata
        options = muxer_options(self._format.muxer, labels, info.time_base)
        self._output = av.open(f"file:{self._temporary}", "w", format=self._format.muxer, container_options=options)
        self._output.metadata.update(labels)
        self._stream = self._video_stream(self._output)
        shift = self._shift * info.time_base
        latest = info.start + self._limits.max_seconds
        take_covers = "use_metadata_tags" in options.get("movflags", "")
        self._copies = not self._layer and self._can_copy()
        shown = replace(info, tracks=()) if self._layer else info
        self._tracks = TrackCopier(
            self._source, self._output, self._format, shown, shift, latest, self.notes, take_covers, self._kept_time()
        )
        chapters = self._source.chapters()
        if chapters and self._part is not None:
            self.notes.append("chapters are left out of a part of the clip")
        elif chapters:
            self._output.set_chapters(chapters)

    def _kept_time(self) -> tuple[Fraction, Fraction | None] | None:
        """From when to when sound and text are kept, in seconds on the source's clock; None for all of it."""
        if self._part is None:
            return None
        end = None if self._part.stop is None else self.info.start + self._part.stop
        return self._shift * self.info.time_base, end

    def _video_stream(self, output: OutputContainer) -> VideoStream:
        info, color = self.info, self.info.color
        settings = encoder_settings(self._codec, self.options, self._target, info.hdr)
        if self._fields is not None and self._codec == "h264":
            own = settings.get("x264-params")
            settings["x264-params"] = ":".join(filter(None, [own, f"{self._fields.setting}=1"]))
        if self._alpha_layout and self._codec == "vp9":
            settings["auto-alt-ref"] = "0"  # which libvpx cannot do with transparency
        stream = output.add_stream(self._encoder, rate=info.rate or 25, options=settings)
        assert isinstance(stream, VideoStream)
        context = stream.codec_context
        context.width, context.height = self._padded
        context.pix_fmt = self._alpha_layout or self._target.name
        context.time_base = stream.time_base = info.time_base
        context.flags |= CodecFlags.frame_duration  # else every frame is said to last as long as the mean one
        context.sample_aspect_ratio = info.sample_aspect
        context.color_range = 2 if self._target.full_range else min(color.range, 1)
        matrix = {"bt709": 1, "bt601": 6, "bt2020": 9}[self._target.matrix]
        same_matrix = self._target.matrix == info.format.matrix
        context.colorspace = (
            color.matrix or matrix if same_matrix else matrix
        )  # 0 is RGB, which the planes no longer are
        context.color_primaries, context.color_trc = color.primaries, color.transfer
        if self._fields is not None:
            context.field_order = FIELD_ORDER[info.first_field]
            context.flags |= CodecFlags.interlaced_dct
        if self._codec == "hevc" and self._format.muxer in FILMS:
            context.codec_tag = "hvc1"  # the tag Apple's players ask for
        carry_labels(self._source.streams[info.stream_index], stream)
        if self._alpha_layout and self._codec == "vp9":
            stream.metadata["alpha_mode"] = "1"
        self._carry_timecode(stream)
        return stream

    def _choose_fields(self) -> FieldMarker | None:
        """What marks the pictures of an interlaced clip where they stay so, in the codecs and profiles for editing."""
        info, archives = self.info, self.options.profile_name == "archive"
        # Fields of H.264 have an even height; those of 486 lines have not.
        stays = self._codec in ("prores", "ffv1") or (archives and self._codec == "h264" and self._padded[1] % 4 == 0)
        if stays and info.first_field and self.size == (info.width, info.height) and not info.rotation:
            return FieldMarker(self._padded, self._alpha_layout or self._target.name, info.first_field)
        if info.first_field:
            self.notes.append(losses.INTERLACED)
        return None

    def _carry_timecode(self, stream: VideoStream) -> None:
        """Say what editors call the first frame; MP4 and MOV make a track of it, Matroska a label."""
        timecode, rate = self.info.timecode, self.info.rate or 25
        for key in [key for key in stream.metadata if key.lower() == "timecode"]:
            del stream.metadata[key]
        if timecode and (timecode[8] == ":" or round(rate) % 30 == 0):
            stream.metadata["timecode"] = timecode
        elif timecode:
            self.notes.append(
                f"the timecode {timecode} is left out: its numbering does not fit {float(rate):.5g} frames/s"
            )

    def _even_size(self) -> tuple[int, int]:
        """The coded size. H.264 and H.265 cannot say an odd width or height of subsampled chroma, cropping included."""
        if self._codec not in ("h264", "hevc"):
            return self.size
        sx, sy = self._target.sx, self._target.sy
        padded = (-(-self.size[0] // sx) * sx, -(-self.size[1] // sy) * sy)
        if padded != self.size:
            old, new = (f"{width}x{height}" for width, height in (self.size, padded))
            keep = "pixel_format yuv444p keeps the size"
            self.notes.append(
                f"{old} is written as {new}, edge pixels repeated: {self._target.name} needs even sizes; {keep}"
            )
        return padded

    def _picture(self, frame: Frame, source: Frame | None, pts: int) -> av.VideoFrame:
        """`frame` as the encoder takes it."""
        converter = self._converter
        picture = converter.convert_layer(frame, source) if self._layer else converter.convert(frame)
        picture.pts, picture.time_base = pts, self.info.time_base
        if self._fields is not None:
            picture = self._fields.mark(picture)
        self._tag_colors(picture)
        return picture
