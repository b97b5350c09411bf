"""One number for the quality, whichever the codec: about as good, and every frame there."""

from itertools import islice

import numpy as np
import pytest

from cdrl.media import EncoderOptions, PixelFormat, Writer, probe, read
from cdrl.media.encoding import encoder_settings


def copied(sample, path, count=12, **options):
    """Frames of the bundled clip, and of a copy of them."""
    info = probe(sample)
    frames = list(islice(read(info), count))
    with Writer(path, info, EncoderOptions(**options)) as writer:
        for frame in frames:
            writer.write(frame)
    return frames, list(read(path))


def psnr(frames, copies):
    """Of luma, dB."""
    pairs = zip(frames, copies, strict=True)
    error = np.mean([np.square(one.planes[0].astype(float) - two.planes[0]).mean() for one, two in pairs])
    return 10 * np.log10(255**2 / max(error, 1e-4))


@pytest.mark.parametrize("quality", [10, 34])
def test_equal_numbers_are_equal_quality(sample, tmp_path, quality):
    codecs = ("h264", "hevc", "vp9", "av1")
    found = {codec: psnr(*copied(sample, tmp_path / f"{codec}.mkv", codec=codec, quality=quality)) for codec in codecs}
    assert max(found.values()) - min(found.values()) < 3, found


@pytest.mark.parametrize("codec", ["hevc", "vp9", "av1"])
def test_the_best_is_best_and_the_smallest_is_smallest(sample, tmp_path, codec):
    best, usual, smallest = (
        psnr(*copied(sample, tmp_path / f"{quality}.mkv", codec=codec, quality=quality)) for quality in (0, 18, 51)
    )
    assert best > usual + 2 > smallest + 8


@pytest.mark.parametrize("quality", [1, 2])
def test_av1_at_its_best_can_be_played(sample, tmp_path, quality):
    frames, copies = copied(sample, tmp_path / "out.mkv", 24, codec="av1", quality=quality)
    assert len(copies) == len(frames)


def test_hevc_is_encoded_without_the_workers_that_were_seen_to_wait_for_ever():
    found = encoder_settings("hevc", EncoderOptions(threads=64), PixelFormat("yuv420p", 8, 2, 2))["x265-params"]
    assert "pools=none" in found
    assert "no-wpp=1" in found
    assert "frame-threads=16" in found  # more than x265 takes is refused
