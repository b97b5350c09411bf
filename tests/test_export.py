"""Performances for avatars: both formats give back what went in, at any rate, and faces that are not seen are said."""

import json
from dataclasses import replace
from fractions import Fraction
from itertools import islice

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cdrl
from cdrl.cli.main import main
from cdrl.errors import InputError
from cdrl.export import (
    ARKIT,
    COLUMNS,
    Performance,
    arkit,
    clip_rate,
    extract_performances,
    head_and_eyes,
    parse_timecode,
    read_json,
    read_livelink,
    timecode,
    write_json,
    write_livelink,
)
from cdrl.face.landmarks import BLENDSHAPES, BundleDetector
from cdrl.face.mesh import canonical_points
from cdrl.face.tracking import FaceTracker
from cdrl.media import Limits, probe, read

NTSC = Fraction(30000, 1001)
RATES = [Fraction(24), Fraction(25), Fraction(24000, 1001), NTSC, Fraction(60000, 1001), Fraction(120)]


def made(rate=NTSC, frames=40):
    """A performance of known numbers, the third frame without a face."""
    random = np.random.default_rng(0)
    faces = [random.random(61).round(6).astype(np.float32) for _ in range(frames)]
    return Performance(rate, tuple(index / rate for index in range(frames)), (*faces[:2], None, *faces[3:]))


def same(first, second):
    assert first.times == second.times
    assert [face is None for face in first.faces] == [face is None for face in second.faces]
    for one, other in zip(first.faces, second.faces, strict=True):
        np.testing.assert_allclose(np.zeros(0) if one is None else one, [] if other is None else other, atol=1e-6)


@pytest.mark.parametrize("rate", RATES)
def test_livelink_gives_back_what_went_in(rate, tmp_path):
    write_livelink(tmp_path / "take.csv", made(rate))
    same(read_livelink(tmp_path / "take.csv", rate), made(rate))


def test_json_gives_back_what_went_in(tmp_path):
    source = replace(made(), times=tuple(Fraction(index**2, 7) for index in range(40)))  # any times, exactly
    edited = replace(source, faces=source.faces[::-1])
    write_json(tmp_path / "take.json", source, edited)
    for one, other in zip(read_json(tmp_path / "take.json"), (source, edited), strict=True):
        same(one, other)
    write_json(tmp_path / "alone.json", source)
    assert read_json(tmp_path / "alone.json")[1] is None


def test_livelink_header_and_a_row(tmp_path):
    write_livelink(tmp_path / "take.csv", made())
    header, *rows = [line.split(",") for line in (tmp_path / "take.csv").read_text().splitlines()]
    assert header[:3] == ["Timecode", "BlendShapeCount", "EyeBlinkLeft"]
    assert header[53:] == ["TongueOut", "HeadYaw", "HeadPitch", "HeadRoll", "LeftEyeYaw", "LeftEyePitch",
                           "LeftEyeRoll", "RightEyeYaw", "RightEyePitch", "RightEyeRoll"]  # fmt: skip
    assert {len(row) for row in rows} == {63}
    assert rows[31][:2] == ["00:00:01:02.062", "61"], "31 frames at 30000/1001 a second, in sixtieths of a second"
    assert set(rows[2][2:]) == {"0.000000"}, "a frame without a face keeps its row"


@pytest.mark.parametrize(
    ("rate", "frames"),
    [
        (Fraction(24), ["00.000", "02.500", "05.000", "07.500"]),
        (Fraction(25), ["00.000", "02.400", "04.800", "07.200"]),
        (NTSC, ["00.000", "02.002", "04.004", "06.006"]),
        (Fraction(30), ["00.000", "02.000", "04.000", "06.000"]),
        (Fraction(50), ["00.000", "01.200", "02.400", "03.600"]),
        (Fraction(60), ["00.000", "01.000", "02.000", "03.000"]),
    ],
)
def test_the_frame_field_of_a_timecode_counts_sixtieths_of_a_second_at_any_rate(rate, frames, tmp_path):
    """As in recordings, where frames that come at 30 a second are numbered 29, 31, 33."""
    write_livelink(tmp_path / "take.csv", made(rate, 4))
    codes = [line.split(",")[0] for line in (tmp_path / "take.csv").read_text().splitlines()[1:]]
    assert codes == [f"00:00:00:{frame}" for frame in frames]


def test_a_recording_by_the_app_is_read_by_its_clock(tmp_path):
    """Timecodes as the app writes them, one frame dropped between the second and the third."""
    write_livelink(tmp_path / "take.csv", made(Fraction(30), 3))
    header, *rows = (tmp_path / "take.csv").read_text().splitlines()
    codes = ["13:13:14:57.571", "13:13:14:59.571", "13:13:15:03.570"]
    rows = [",".join([code, *row.split(",")[1:]]) for code, row in zip(codes, rows, strict=True)]
    (tmp_path / "take.csv").write_text("\n".join([header, *rows]) + "\n")
    times = read_livelink(tmp_path / "take.csv", Fraction(30)).times
    assert [float(time - times[0]) for time in times] == pytest.approx([0, 1 / 30, 1 / 10], abs=1e-4)


@given(index=st.integers(0, 120 * 3600 * 10), rate=st.sampled_from(RATES))
def test_a_timecode_is_the_clip_s_own_clock_however_long_the_clip(index, rate):
    assert abs(parse_timecode(timecode(index / rate)) - index / rate) <= Fraction(1, 120_000)


def test_the_rate_is_the_one_that_a_clock_of_milliseconds_has_blurred(sample):
    info = probe(sample)
    assert info.rate == Fraction(989, 33)
    assert clip_rate(info) == NTSC
    assert clip_rate(replace(info, rate=Fraction(17, 2))) == Fraction(17, 2)


def test_coefficients_are_matched_by_name():
    given = np.arange(52, dtype=np.float32)
    found = dict(zip(ARKIT, arkit(given), strict=True))
    assert found.pop("TongueOut") == 0
    assert {BLENDSHAPES[int(value)].lower(): 0 for value in found.values()} == {name.lower(): 0 for name in found}
    assert len(set(ARKIT)) == 52


def head(x=0.0, y=0.0, z=0.0):
    """Yaw, pitch, roll of a canonical face turned about axes of the picture (x right, y down, z away from the viewer).

    So `y` turns it towards the picture's left, `x` down, and `z` clockwise on the screen.
    """
    turn, _ = cv2.Rodrigues(np.array([x, y, z]))
    return head_and_eyes(20 * canonical_points() @ turn.T + 100, np.zeros(52))[:3]


@pytest.mark.parametrize(
    ("turn", "angles"), [({"y": 0.3}, (0.3, 0, 0)), ({"x": -0.3}, (0, -0.3, 0)), ({"z": 0.3}, (0, 0, 0.3))]
)
def test_the_head_turns_as_it_is_documented(turn, angles):
    np.testing.assert_allclose(head(**turn), angles, atol=1e-4)


def eyes(**look):
    """Yaw, pitch, roll of the left eye, then of the right one, of a face whose coefficients are `look`."""
    return head_and_eyes(canonical_points(), np.array([look.get(name, 0.0) for name in ARKIT]))[3:]


LOOKS = {  # where both eyes look: coefficients, then left yaw and pitch, right yaw and pitch, in radians
    "left": ({"EyeLookOutLeft": 0.5, "EyeLookInRight": 0.6}, (-0.36, -0.01, -0.31, -0.01)),
    "right": ({"EyeLookInLeft": 0.6, "EyeLookOutRight": 0.5}, (0.31, -0.01, 0.36, -0.01)),
    "up": ({"EyeLookUpLeft": 0.5, "EyeLookUpRight": 0.5}, (-0.06, -0.24, 0.06, -0.24)),
    "down": ({"EyeLookDownLeft": 0.5, "EyeLookDownRight": 0.5}, (-0.06, 0.29, 0.06, 0.29)),
}


@pytest.mark.parametrize("way", LOOKS)
def test_eyes_turn_as_in_recordings_by_the_app(way):
    look, wanted = LOOKS[way]
    np.testing.assert_allclose(eyes(**look)[[0, 1, 3, 4]], wanted, atol=0.05)


def test_an_eye_that_looks_aside_and_up_rolls_as_in_recordings():
    left, right = np.split(eyes(EyeLookOutLeft=0.5, EyeLookInRight=0.6, EyeLookUpLeft=0.4, EyeLookUpRight=0.4), 2)
    for yaw, pitch, roll in (left, right):
        assert roll == pytest.approx(yaw * pitch, rel=0.1)


def test_head_and_eyes_turn_alike():
    """A face that turns to the person's left and up by 0.3 has the signs of eyes that look there."""
    angles = eyes(EyeLookOutLeft=0.8, EyeLookInRight=0.8, EyeLookUpLeft=0.8, EyeLookUpRight=0.8)
    for place, turn in enumerate(({"y": -0.3}, {"x": -0.3})):
        assert np.sign([angles[place], angles[3 + place]]).tolist() == [np.sign(head(**turn)[place])] * 2


def test_a_take_that_appears_meanwhile_is_not_replaced(sample, tmp_path, monkeypatch, capsys):
    from cdrl import export

    look = export.extract_performances

    def slow(*given, **how):
        (tmp_path / "take.json").write_text("somebody else's")
        return look(*given, **how)

    monkeypatch.setattr(export, "extract_performances", slow)
    assert main(["export", str(sample), "-o", str(tmp_path / "take.json")]) == 5
    assert (tmp_path / "take.json").read_text() == "somebody else's"
    assert capsys.readouterr().err.count("\n") == 1


@pytest.fixture(scope="module")
def happy(sample, tmp_path_factory):
    """The sample's extract_performances, and the edited clip's own, seen anew after it was rendered."""
    job = cdrl.load().edit(sample, emotion="happy")
    path = tmp_path_factory.mktemp("export") / "happy.mp4"
    job.save(path)
    rendered, _ = extract_performances(path, None, "largest", Limits())
    return *extract_performances(sample, job, "largest", Limits()), rendered


def coefficients(performance):
    return np.array([face[:52] for face in performance.faces])


def test_the_edited_performance_is_about_what_the_rendered_clip_shows(happy):
    source, edited, rendered = map(coefficients, happy)
    missed, changed = (float(np.abs(each - rendered).mean()) for each in (edited, source))
    assert missed <= 0.04
    assert missed <= 0.65 * changed  # how much an edit changes is another test's
    change, shown = (edited - source).mean(0), (rendered - source).mean(0)
    assert np.corrcoef(change, shown)[0, 1] >= 0.9
    smile = [ARKIT.index("MouthSmileLeft"), ARKIT.index("MouthSmileRight")]
    assert change[smile].mean() >= 0.25


def test_an_edit_turns_neither_head_nor_eyes_and_keeps_the_times(happy, sample):
    source, edited, _ = happy
    assert source.times == edited.times == tuple(frame.time for frame in read(sample))
    np.testing.assert_array_equal(np.array(source.faces)[:, len(ARKIT) :], np.array(edited.faces)[:, len(ARKIT) :])


def test_the_source_performance_is_what_the_detector_says(happy, sample):
    detector = BundleDetector()
    track = FaceTracker(detector).step(next(read(sample)))
    np.testing.assert_allclose(happy[0].faces[0][:52], arkit(detector.estimate_blendshapes(track.points)))


def test_command_writes_source_and_edited(sample, tmp_path, capsys):
    assert main(["export", str(sample), "--emotion", "sad", "-o", str(tmp_path / "take.csv")]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["take.csv", "take.source.csv"]
    assert main(["export", str(sample), "--emotion", "sad", "-o", str(tmp_path / "take.json")]) == 0
    source, edited = read_json(tmp_path / "take.json")
    rounded = [np.abs(np.subtract(one, other)).max() for one, other in zip(
        read_livelink(tmp_path / "take.csv", NTSC).faces, edited.faces, strict=True)]  # fmt: skip
    assert max(rounded) <= 2e-6
    assert source.missing == 0
    assert [line.split(": ")[1] for line in capsys.readouterr().out.splitlines()] == ["61 of 61 frames with a face"] * 2


def half_empty(sample, path, faces):
    """Ten frames of gray, after `faces` frames of the sample."""
    with av.open(str(path), "w") as output, av.open(str(sample)) as source:
        stream = output.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 480, 360, "yuv420p"
        seen = [frame.to_ndarray(format="rgb24") for frame in islice(source.decode(video=0), faces)]
        for picture in [*seen, *[np.full((360, 480, 3), 128, np.uint8)] * 10]:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        output.mux(stream.encode(None))


def test_frames_without_a_face_are_counted_and_kept(sample, tmp_path, capsys):
    half_empty(sample, tmp_path / "half.mp4", 5)
    assert main(["export", str(tmp_path / "half.mp4"), "-o", str(tmp_path / "half.json")]) == 0
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "no face in 10 of 15 frames; those are null" in err
    faces = read_json(tmp_path / "half.json")[0].faces
    assert [face is None for face in faces] == [False] * 5 + [True] * 10


def test_a_clip_without_a_face_is_refused(sample, tmp_path, capsys):
    half_empty(sample, tmp_path / "empty.mp4", 0)
    assert main(["export", str(tmp_path / "empty.mp4"), "-o", str(tmp_path / "empty.csv")]) == 4
    assert "no face in any of 10 frames" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["empty.mp4"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("nowhere.mp4 -o a.csv", 3, "nowhere.mp4"),
        ("{sample} -o a.txt", 2, "--format"),
        ("{sample} -o a.csv --intensity 0.5", 2, "--emotion"),
        ("{sample} -o a.csv --emotion hapy", 2, "hapy"),
        ("{sample} -o nowhere/a.csv", 5, "nowhere"),
        ("{sample} -o {sample} --format json --overwrite", 5, "input itself"),
    ],
)
def test_refused_in_one_line(words, code, said, sample, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["export", *words.format(sample=sample).split()]) == code
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert said in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text", ["", "Timecode,BlendShapeCount\n", ",".join(("Timecode", "BlendShapeCount", *COLUMNS)) + "\nnow,61,1\n"]
)
def test_other_files_are_no_performance(text, tmp_path):
    (tmp_path / "other").write_text(text)
    with pytest.raises(InputError, match="other"):
        read_livelink(tmp_path / "other", NTSC)
    with pytest.raises(InputError, match="other"):
        read_json(tmp_path / "other")


def test_json_of_another_shape_is_refused(tmp_path):
    write_json(tmp_path / "take.json", made())
    content = json.loads((tmp_path / "take.json").read_text())
    (tmp_path / "take.json").write_text(json.dumps(content | {"times": ["1/0"]}))
    with pytest.raises(InputError, match=r"take\.json"):
        read_json(tmp_path / "take.json")
