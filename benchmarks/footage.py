"""Kinds of footage × profiles: each edited, and the result decoded by another build of FFmpeg, as a table.

python benchmarks/footage.py            the table, on standard output
python benchmarks/footage.py --write    the same into docs/reliability.md

Needs `ffmpeg` and `ffprobe` (any other build than PyAV's own, such as Debian's). Everything is made of the bundled
sample. A cell says the PSNR in dB of RGB where no head is, result against source, both decoded by that build; it says
what is wrong where frames are missing, their distances are not the source's, sound is lost, the result does not
decode without a complaint, or something that `describe` finds in the source is lost without a warning that names it.
"""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import tyro
from numpy.typing import NDArray

import cdrl
from cdrl.errors import CdrlError
from cdrl.media import EncoderOptions
from cdrl.media.captions import add_captions
from cdrl.media.encoding import CONTAINERS, FILM_PROFILES, PROFILES, Profile
from cdrl.pipeline.editor import Editor

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "examples" / "1001_DFA_NEU_XX.flv"
DOCUMENT = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- footage: made by benchmarks/footage.py -->", "<!-- /footage -->"
FFMPEG = ("ffmpeg", "-v", "error", "-nostdin", "-y", "-threads", "1")
HDR = "zscale=pin=bt709:tin=bt709:min=bt709:rin=limited:p=bt2020:t={}:m=bt2020nc:r=limited:npl=203,format=yuv420p10le"
X265 = "log-level=error:colorprim=bt2020:colormatrix=bt2020nc:transfer="
LIGHT = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1):max-cll=1000,400"
HLG, PQ = "arib-std-b67", "smpte2084"
CLEAR = "format=yuva420p,geq=lum='p(X,Y)':a='255*lt(X,240)'"
TOLD = "-timecode 01:02:03:04 -metadata location=+48.8577+002.2950/ -metadata creation_time=2024-05-06T07:08:09Z"
MOST_DIFFERENT = 0.025  # seconds: what milliseconds, and frames of a last part, may make of a distance
LEAST_DB = 33.0
FIELDS = (("", ""), ("bottom first", "top first"))
LIBVPX = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
TRANSPARENT = ("yuva", "rgba", "bgra", "argb", "abgr", "gbrap", "ya", "pal8")
# Name → what FFmpeg is told after the sample, and the ending. `+` joins a file with itself.
KINDS: dict[str, tuple[str, str]] = {
    "H.264 MP4": ("-c:v libx264 -c:a aac", ".mp4"),
    "H.264 with B-frames MP4": ("-c:v libx264 -bf 3 -b_strategy 0 -c:a aac", ".mp4"),
    "fragmented MP4": ("-c:v libx264 -g 10 -c:a aac -movflags frag_keyframe+empty_moov", ".mp4"),
    "varying rate": ("-vf select='not(eq(mod(n,7),3))' -vsync vfr -c:v libx264 -c:a aac", ".mp4"),
    "turned 90 degrees": ("-c:v libx264 -c:a aac -metadata:s:v rotate=90", ".mov"),
    "anamorphic": ("-vf scale=720:576,setsar=64/45 -c:v libx264 -c:a aac", ".mp4"),
    "odd size": ("-vf scale=351:263 -c:v ffv1 -c:a flac", ".mkv"),
    "MPEG-TS": ("-c:v libx264 -c:a aac", ".ts"),
    "M2TS": ("-c:v libx264 -c:a ac3 -f mpegts -mpegts_m2ts_mode 1", ".m2ts"),
    "joined TS": ("-c:v libx264 -c:a aac", "+.ts"),
    "joined MPEG-PS": ("-c:v mpeg2video -q:v 2 -bf 2 -c:a mp2", "+.mpg"),
    "B-frames AVI": ("-c:v libx264 -bf 3 -b_strategy 0 -c:a libmp3lame", ".avi"),
    "MPEG-4 AVI": ("-c:v mpeg4 -q:v 2 -bf 2 -c:a libmp3lame", ".avi"),
    "raw H.264": ("-an -c:v libx264", ".h264"),
    "FLV": ("-c:v libx264 -c:a aac", ".flv"),
    "3GP": ("-c:v libx264 -c:a aac", ".3gp"),
    "WMV": ("-c:v wmv2 -q:v 2 -c:a wmav2", ".wmv"),
    "MXF": ("-c:v mpeg2video -q:v 2 -bf 2 -ar 48000 -c:a pcm_s16le", ".mxf"),
    "DV PAL": ("-vf fps=25,scale=720:576,setsar=16/15 -ar 48000 -ac 2 -f dv", ".dv"),
    "DV NTSC": ("-vf fps=30000/1001,scale=720:480,setsar=8/9 -pix_fmt yuv411p -ar 48000 -ac 2 -f dv", ".dv"),
    "interlaced": ("-vf setfield=tff -c:v libx264 -flags +ilme+ildct -c:a aac", ".mp4"),
    "VP9 WebM": ("-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -crf 10 -b:v 0 -c:a libopus", ".webm"),
    "VP8 with transparency": (f"-vf {CLEAR} -c:v libvpx -auto-alt-ref 0 -b:v 4M -c:a libopus", ".webm"),
    "AV1 MP4": ("-c:v libaom-av1 -cpu-used 8 -crf 20 -c:a aac", ".mp4"),
    "HEVC 10 bits": ("-c:v libx265 -pix_fmt yuv420p10le -x265-params log-level=error -tag:v hvc1 -c:a aac", ".mov"),
    "HLG": (f"-vf {HDR.format(HLG)} -c:v libx265 -x265-params {X265}{HLG} -tag:v hvc1 -c:a aac", ".mov"),
    "HDR10": (f"-vf {HDR.format(PQ)} -c:v libx265 -x265-params {X265}{PQ}:{LIGHT} -tag:v hvc1 -c:a aac", ".mp4"),
    "ProRes 422": ("-c:v prores_ks -profile:v 3 -c:a pcm_s16le", ".mov"),
    "ProRes 4444 with transparency": (
        f"-vf {CLEAR},format=yuva444p10le -c:v prores_ks -profile:v 4 -c:a pcm_s16le", ".mov"),
    "DNxHR HQX": ("-pix_fmt yuv422p10le -c:v dnxhd -profile:v dnxhr_hqx -c:a pcm_s16le", ".mov"),
    "FFV1 4:2:2, 10 bits": ("-pix_fmt yuv422p10le -c:v ffv1 -c:a flac", ".mkv"),
    "FFV1 4:4:4, 12 bits": ("-pix_fmt yuv444p12le -c:v ffv1 -c:a flac", ".mkv"),
    "gray": ("-pix_fmt gray -c:v ffv1 -c:a flac", ".mkv"),
    "RGB H.264": ("-c:v libx264rgb -c:a aac", ".mp4"),
    "RGB PNG in MOV": ("-c:v png -pix_fmt rgb24 -c:a pcm_s16le", ".mov"),
    "RGB 10 bits": ("-c:v ffv1 -pix_fmt gbrp10le -c:a flac", ".mkv"),
    "full range": ("-vf scale=out_range=full -pix_fmt yuvj420p -c:v libx264 -c:a aac", ".mp4"),
    "Motion JPEG": ("-c:v mjpeg -q:v 2 -c:a pcm_s16le", ".avi"),
    "GIF": ("-an -vf fps=10", ".gif"),
    "APNG": ("-an -vf fps=10,format=rgba -plays 0 -f apng", ".png"),
    "timecode, place, date": (f"-c:v libx264 -c:a aac {TOLD}", ".mov"),
    "5.1 sound": ("-c:v libx264 -ac 6 -c:a aac", ".mp4"),
    "captions": ("-c:v libx264 -bf 0 -c:a aac", "cc.ts"),
}  # fmt: skip
# What a result may lose → a word of the warning that has to name it then.
NAMED = {
    "primaries": "color", "transfer": "color", "matrix": "color", "pixel aspect": "shape",
    "field order": "interlaced", "alpha": "transparency", "light levels": "light levels", "captions": "captions",
    "timecode": "timecode", "date": "date", "place": "place", "channels": "stream",
}  # fmt: skip


@dataclass(frozen=True)
class Options:
    """Edit footage of many kinds with every profile, and check the results with another build of FFmpeg."""

    kinds: tuple[str, ...] = ()
    """Kinds whose names hold one of these words; all of them without any. Others stay in the table as they are."""
    seconds: float = 0.7
    """How long a clip is."""
    write: bool = False
    """Put the table into docs/reliability.md."""


def main(options: Options) -> int:
    """Print the table; returns how many cells tell of a fault."""
    if shutil.which("ffmpeg") is None:
        print("there is no ffmpeg on the path: install one, such as Debian's", file=sys.stderr)
        return 1
    lines = [f"| kind | warnings | {' | '.join(FILM_PROFILES)} |", "| --- | --- |" + " --- |" * len(FILM_PROFILES)]
    print("\n".join(lines))
    editor, faults = cdrl.load(), 0
    with tempfile.TemporaryDirectory(prefix="cdrl-footage-") as name:
        folder = Path(name)
        for kind, (words, suffix) in KINDS.items():
            if options.kinds and not any(word in kind for word in options.kinds):
                continue
            source = make(folder, words, suffix, options.seconds)
            cells = [check(editor, source, profile, folder) for profile in FILM_PROFILES]
            faults += sum(not said.replace(".", "").isdigit() for said, _ in cells)
            n_warnings = max(count for _, count in cells)
            lines.append(f"| {kind} | {n_warnings} | {' | '.join(said for said, _ in cells)} |")
            print(lines[-1], flush=True)
    if options.write:
        write_rows(lines)
    return faults


def write_rows(lines: Sequence[str]) -> None:
    """Put a table into the documentation; rows of kinds that were not run stay as they are there."""
    before, rest = DOCUMENT.read_text(encoding="utf-8").split(BEGIN)
    old, after = rest.split(END)
    rows = {line.split("|")[1].strip(): line for text in (old.splitlines(), lines) for line in text if "|" in line}
    table = "\n".join(rows[kind] for kind in ("kind", "---", *KINDS) if kind in rows)
    DOCUMENT.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")


def make(folder: Path, words: str, suffix: str, seconds: float) -> Path:
    """A file of one kind."""
    path = folder / f"source{suffix.lstrip('+c')}"
    sound = [] if "-an" in words.split() else ["-map", "0:a"]
    inputs = ["-ss", "0.3", "-t", str(seconds), "-i", str(SAMPLE), "-map", "0:v", *sound]
    subprocess.run([*FFMPEG, *inputs, *words.split(), str(path)], check=True)
    if suffix.startswith("+"):
        path.write_bytes(path.read_bytes() * 2)
    return caption(path) if suffix == "cc.ts" else path


def caption(path: Path) -> Path:
    """A copy of a transport stream of H.264 with CEA-608 captions beside every frame."""
    copy = path.with_name("captioned.ts")
    with av.open(str(path)) as source, av.open(str(copy), "w") as output:
        targets = {stream.index: output.add_stream_from_template(stream, opaque=True) for stream in source.streams}
        for number, packet in enumerate(packet for packet in source.demux() if packet.size):
            text = bytes((0xFC, 0x41 + number % 26, 0x42))
            copied = add_captions(packet, text, "h264") if packet.stream.type == "video" else packet
            copied.stream = targets[packet.stream.index]
            output.mux(copied)
    return copy


def check(editor: Editor, source: Path, profile: str, folder: Path) -> tuple[str, int]:
    """Edit the file with a profile; returns what the result is like, and how many warnings there were."""
    endings = PROFILES[profile].suffixes or tuple(CONTAINERS)
    output = (
        folder / f"result{source.suffix if source.suffix in endings else (PROFILES[profile].suffixes or ('.mp4',))[0]}"
    )
    try:
        options: Any = {"encoder": EncoderOptions(cast(Profile, profile)), "overwrite": True}
        report = editor.edit(source, emotion="happy").save(output, **options)
    except CdrlError as error:
        return f"refused: {error}", 0
    return compare(source, output, report.warnings), len(report.warnings)


def compare(source: Path, output: Path, warnings: Sequence[str]) -> str:
    """What is wrong with a result; the PSNR in dB of what no edit reaches where nothing is."""
    complaints = subprocess.run(
        [*FFMPEG, "-i", str(output), "-vsync", "passthrough", "-enc_time_base", "1:90000", "-f", "null", "-"],
        capture_output=True,
        text=True,
        check=False,
    )
    if complaints.stderr.strip():
        return f"complaint: {complaints.stderr.strip().splitlines()[0][:60]}"
    shown, written = frames(source), frames(output)
    before, after = times(shown), times(written)
    if len(before) != len(after):
        return f"{len(after)} of {len(before)} frames"
    gaps, own = np.diff(after), np.diff(before)
    # Times of B-frames in AVI, and of parts behind each other, are as the source tells them not those that are meant.
    wanted = [np.full_like(gaps, np.median(gaps)), *([own] if np.isfinite(own).all() else [])]
    off = min(float(np.abs(gaps - each).max(initial=0)) for each in wanted)
    if off > MOST_DIFFERENT:
        return f"distances differ by {1000 * off:.0f} ms"
    heard, kept = sound(source), sound(output)
    if abs(heard - kept) > 0.1:
        return f"{kept:.2f} of {heard:.2f} s of sound"
    one, two = pictures(source), pictures(output)
    if one.shape[1] % 2 or one.shape[2] % 2:  # H.264 repeats an edge
        two = two[:, : one.shape[1], : one.shape[2]]
    if one.shape != two.shape:
        return f"{two.shape[2]}x{two.shape[1]} for {one.shape[2]}x{one.shape[1]}"
    eighth = one.shape[2] // 8
    error = float(np.square(one[:, :, :eighth].astype(np.float32) - two[:, :, :eighth]).mean())
    quality = min(99.0, 10 * math.log10(255**2 / error)) if error else 99.0
    told, got = describe(source, shown), describe(output, written)
    lost = [name for name, value in told.items() if value != got.get(name) and not is_named(name, warnings)]
    if lost:
        return f"{quality:.1f}, lost: {', '.join(lost)}"
    return f"{quality:.1f}" if quality >= LEAST_DB else f"{quality:.1f} dB"


def is_named(name: str, warnings: Sequence[str]) -> bool:
    """Whether a warning tells that something is lost."""
    return any(NAMED[name] in warning for warning in warnings)


def describe(path: Path, shown: Sequence[dict[str, Any]]) -> dict[str, str]:
    """What a file says beside its pixels, as far as that build knows; only what it says.

    A matrix need only be told: whether the pixels are of it, and of which range they are, is seen in the colors.
    """
    found = probe(path, "-show_streams", "-show_format")
    video = next(stream for stream in found["streams"] if stream["codec_type"] == "video")
    labels = [found["format"].get("tags", {}), *(stream.get("tags", {}) for stream in found["streams"])]
    tags = {name.lower(): text for each in reversed(labels) for name, text in each.items()}
    first = {**video, **shown[0]}
    around = video.get("side_data_list", [])
    beside = {each["side_data_type"] for each in [*around, *shown[0].get("side_data_list", ())]}
    captions = sum("A53" in str(frame.get("side_data_list")) for frame in shown)
    turned = any(abs(int(each.get("rotation", 0))) % 180 == 90 for each in around)
    across, down = map(int, first.get("sample_aspect_ratio", "1:1").split(":"))
    aspect = across / down if across and down else 1.0
    channels = [str(stream["channels"]) for stream in found["streams"] if stream["codec_type"] == "audio"]
    facts = {
        "primaries": first.get("color_primaries", ""), "transfer": first.get("color_transfer", ""),
        "matrix": "told" * ("color_space" in first),
        "pixel aspect": f"{1 / aspect if turned else aspect:.3f}",
        "field order": FIELDS[first.get("interlaced_frame", 0)][first.get("top_field_first", 0)],
        "alpha": transparency(path, video, tags),
        "light levels": " ".join(sorted(name for name in beside if "light" in name or "Mastering" in name)),
        "captions": str(captions or ""), "timecode": tags.get("timecode", ""), "date": tags.get("creation_time", ""),
        "place": tags.get("location", ""), "channels": " ".join(channels),
    }  # fmt: skip
    return {name: value for name, value in facts.items() if value not in ("", "unknown", "reserved", "gbr")}


def transparency(path: Path, video: dict[str, Any], tags: dict[str, str]) -> str:
    """Of how many pixels, in percent, the file's own decoder shows nothing at all; empty where all are opaque."""
    is_beside = tags.get("alpha_mode") == "1"
    if not is_beside and not video.get("pix_fmt", "").startswith(TRANSPARENT):
        return ""
    decoder = ["-c:v", LIBVPX[video["codec_name"]]] if is_beside else []
    command = [*FFMPEG, *decoder, "-i", str(path), "-map", "0:v:0", "-vf", "format=yuva444p,alphaextract"]
    done = subprocess.run([*command, "-f", "rawvideo", "-pix_fmt", "gray", "-"], capture_output=True, check=True)
    alpha = np.frombuffer(done.stdout, np.uint8)
    return f"{100 * (alpha < 128).mean():.0f} %" if (alpha < 255).any() else ""


def probe(path: Path, *words: str) -> dict[str, Any]:
    """What ffprobe says."""
    command = ["ffprobe", "-v", "quiet", "-of", "json", *words, str(path)]
    found: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout or "{}")
    return found


def frames(path: Path) -> list[dict[str, Any]]:
    """What that build says of each frame."""
    found: list[dict[str, Any]] = probe(path, "-select_streams", "v:0", "-show_frames")["frames"]
    return found


def times(shown: Sequence[dict[str, Any]]) -> NDArray[np.float64]:
    """When each frame is shown, seconds; NaN where a file does not say."""
    return np.array([float(frame.get("best_effort_timestamp_time", "nan")) for frame in shown])


def sound(path: Path) -> float:
    """Seconds of sound that decode."""
    command = [*FFMPEG, "-i", str(path), "-map", "0:a?", "-f", "s16le", "-ac", "1", "-ar", "8000", "-"]
    done = subprocess.run(command, capture_output=True, check=False)
    return len(done.stdout) / 16_000


def pictures(path: Path) -> NDArray[np.uint8]:
    """All frames [N, H, W, 3] as RGB, as that build shows them; turned upright."""
    done = subprocess.run(
        [*FFMPEG, "-i", str(path), "-map", "0:v:0", "-vsync", "passthrough", "-c:v", "ppm", "-f", "image2pipe", "-"],
        capture_output=True, check=True,
    )  # fmt: skip
    decoded, data = [], done.stdout
    while data:
        _, size, most, rest = data.split(b"\n", 3)
        width, height = map(int, size.split())
        step = 2 if int(most) > 255 else 1
        length = width * height * 3 * step
        frame = np.frombuffer(rest[:length], ">u2" if step == 2 else np.uint8).reshape(height, width, 3)
        decoded.append((frame >> 8).astype(np.uint8) if step == 2 else frame)
        data = rest[length:]
    return np.stack(decoded)


if __name__ == "__main__":
    raise SystemExit(main(tyro.cli(Options)))
