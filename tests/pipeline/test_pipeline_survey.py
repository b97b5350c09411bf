"""Every shot gets its person: who appears later than the first seconds is looked at, too, without holding the clip."""

import weakref
from fractions import Fraction
from itertools import chain, islice
from types import SimpleNamespace
from typing import ClassVar

import av
import numpy as np
import pytest

import cdrl
from cdrl.face.landmarks import BundleDetector
from cdrl.face.tracking import FaceTracker, Track
from cdrl.media import Limits, probe, read
from cdrl.pipeline import survey
from cdrl.pipeline.survey import RESET_AFTER, Survey, Surveyor, survey_face, survey_until

RATE = 30
EYES = (33, 263)
SOMEBODY = SimpleNamespace(emotions={})


# ---- a shot in a long clip is edited as it is alone


def pictures(path, count, mirrored=False):
    """Pictures of a clip, there and back until there are enough."""
    with av.open(str(path)) as source:
        planes = [frame.reformat(format="yuv444p").to_ndarray() for frame in source.decode(video=0)]
    planes = [plane[:, :, ::-1] for plane in planes] if mirrored else planes
    return list(islice(chain.from_iterable([planes, planes[::-1]] * count), count))


def write(path, *shots):
    """A clip of some shots without loss."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=RATE, options={"preset": "ultrafast", "qp": "0"})
        stream.height, stream.width = shots[0][0].shape[1:]
        stream.pix_fmt = "yuv444p"
        for number, planes in enumerate(chain.from_iterable(shots)):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(planes), "yuv444p")
            picture.pts, picture.time_base = number, Fraction(1, RATE)
            out.mux(stream.encode(picture))
        out.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def editor():
    return cdrl.load()


@pytest.fixture(scope="module")
def shots(repository):
    """4.5 s of a neutral face, and one second of a happy one that looks another way."""
    examples = repository / "examples"
    happy = pictures(examples / "1001_DFA_HAP_XX.flv", RATE, mirrored=True)
    return pictures(examples / "1001_DFA_NEU_XX.flv", 9 * RATE // 2), happy


@pytest.fixture(scope="module")
def clips(shots, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shots")
    return SimpleNamespace(joined=write(folder / "joined.mp4", *shots), alone=write(folder / "alone.mp4", shots[1]))


def manipulated(job):
    """What is done to each frame: the frame with its face and person, and where the points of the face go."""
    with read(job.info) as frames, job.stages(FaceTracker(BundleDetector())) as stages:
        found = [(tracked := stages.track(frame), stages.manipulate(tracked)) for frame in frames]
        return found, stages.find_person.n_surveys


def test_a_shot_is_edited_as_it_is_alone(editor, clips, shots):
    joined, n_surveys = manipulated(editor.edit(clips.joined, emotion="happy"))
    alone, _ = manipulated(editor.edit(clips.alone, emotion="happy"))
    assert n_surveys == 2
    assert len(joined) == len(shots[0]) + len(alone)
    for (tracked, ours), (_, theirs) in zip(joined[len(shots[0]) :], alone, strict=True):
        eye_distance = np.linalg.norm(np.subtract(*tracked.track.points[list(EYES), :2]))
        assert np.abs(ours.displacement - theirs.displacement).max() <= 0.01 * eye_distance
    assert (joined[-1][0].person.mouth_patch is None) == (alone[-1][0].person.mouth_patch is None)


def test_segments_change_nothing_about_who_is_seen(editor, clips):
    (*_, (whole, _)), _ = manipulated(editor.edit(clips.joined, emotion="happy"))
    (*_, (part, _)), n_surveys = manipulated(editor.edit(clips.joined, segments="5.2-:happy"))
    np.testing.assert_array_equal(part.person.mean_shape, whole.person.mean_shape)
    assert n_surveys == 1, "nobody asks about the first shot"


def test_the_report_says_who_was_looked_at(editor, clips, tmp_path):
    report = editor.edit(clips.joined, segments="4.4-5:sad").save(tmp_path / "edit.mp4")
    assert report.to_json()["surveys"] == 2
    assert max(report.shown, key=report.shown.get) == "happy"
    assert report.clock.seconds["survey"] > 0
    assert report.clock.seconds["track"] > 0


def test_a_clip_of_one_shot_is_not_looked_into_again(editor, sample, monkeypatch):
    job = editor.edit(sample, emotion="happy")
    monkeypatch.setattr(survey, "read", None)
    found, n_surveys = manipulated(job)
    assert n_surveys == 1
    assert all(tracked.person is job.survey.person for tracked, _ in found)


def test_who_comes_late_in_a_shot_is_looked_at_from_then_on(editor, shots, tmp_path):
    gray = np.full_like(shots[0][0], 128)
    fade = [np.round(gray + (picture.astype(float) - gray) * min(n / 12, 1)) for n, picture in enumerate(shots[1])]
    late = write(tmp_path / "late.mp4", [gray] * 5 * RATE, [picture.astype(np.uint8) for picture in fade])
    found, n_surveys = manipulated(editor.edit(late, emotion="happy"))
    assert n_surveys == 1
    assert all(tracked.person is not None for tracked, _ in found if tracked.track is not None)


# ---- how far a survey looks


class FakeTracker:
    """Sees a face in frames whose `face` says so; `cut` frames begin a shot."""

    def __init__(self):
        self.shot = -1
        self.looks = []
        self.detector = SimpleNamespace(estimate_blendshapes=None)

    def skip(self, frame):
        self.shot = 0 if self.shot < 0 else self.shot + frame.cut  # nothing was before the first frame

    def step(self, frame):
        self.skip(frame)
        self.looks.append(frame.time)
        return Track(frame, 1.0, self.shot, False) if frame.face else None


@pytest.fixture
def estimator(monkeypatch):
    """Counts the frames that are added."""

    class Estimator:
        def __init__(self, prior):
            self.times = []

        def add_frame(self, frame, track, estimate_blendshapes):
            self.times.append(frame.time)

        def n_frames(self, shot):
            return len(self.times)

        def estimate(self, shot):
            return SimpleNamespace(times=self.times, emotions={})

    monkeypatch.setattr(survey, "PersonEstimator", Estimator)
    monkeypatch.setattr(survey, "PeopleSeen", lambda: SimpleNamespace(recognize=lambda person: person))


def clip(seconds, face=lambda time: True, cuts=(), begin=0):
    for n in range(begin * RATE, round(seconds * RATE)):
        time = Fraction(n, RATE)
        yield SimpleNamespace(time=time, face=face(time), cut=time in cuts, index=n)


def test_a_face_is_looked_at_for_four_seconds_a_few_times_a_second(estimator):
    tracker = FakeTracker()
    found = survey_face(clip(60), tracker, None)
    assert (found.start, found.end) == (0, 4)
    assert len(found.person.times) == len(tracker.looks) - 1 == 30  # one each four frames
    assert max(found.person.times) < 4


def test_the_four_seconds_begin_when_the_face_is_first_seen(estimator):
    found = survey_face(clip(60, lambda time: time >= 3), FakeTracker(), None)
    assert found.start == 3
    assert 6.8 < max(found.person.times) < 7


def test_a_look_ends_at_a_cut(estimator):
    frames = clip(60, cuts=(Fraction(31, 30),))
    found = survey_face(frames, FakeTracker(), None)
    assert max(found.person.times) <= 1
    assert next(frames).time == Fraction(32, 30), "no frame is read beyond the one that cuts"


def test_a_look_ends_when_the_face_is_gone(estimator):
    found = survey_face(clip(60, lambda time: not 1 < time < 3.5), FakeTracker(), None)
    assert max(found.person.times) <= 1


def test_a_look_in_which_nobody_comes_ends_after_four_seconds(estimator):
    tracker = FakeTracker()
    assert survey_face(clip(60, lambda time: False), tracker, None) == Survey(Fraction(0), None)
    assert tracker.looks[-1] <= 4
    assert survey_face([], tracker, None) is None


def test_who_is_seen_from_the_side_is_looked_at_again():
    looks = []

    def survey_from(start):
        looks.append(start)
        return Survey(start, SOMEBODY if start >= 8 else None)

    assert survey_until(Fraction(3), Fraction(0), None, survey_from).person is None
    assert survey_until(Fraction(11), Fraction(0), None, survey_from).person is SOMEBODY
    assert looks == [0, 0, 4, 8]
    assert survey_until(Fraction(11), Fraction(0), Survey(Fraction(1), SOMEBODY), survey_from).start == 1


# ---- who is looked at, and reading ahead


class FakeReader:
    """Reads a made clip; knows from where, and how far it has come."""

    opened: ClassVar = []

    def __init__(self, frames, start, sought):
        self.start, self.sought, self.read, self.closed = start, sought, 0, False
        self._frames = (frame for frame in frames if frame.time >= start)
        FakeReader.opened.append(self)

    def __iter__(self):
        return self

    def __next__(self):
        frame = next(self._frames)
        self.read += 1
        return frame

    def close(self):
        self.closed = True


@pytest.fixture
def made(monkeypatch, estimator):
    """`made(frames, first, seeks)`: a surveyor of a made clip; its readers are `FakeReader.opened`."""

    def make(frames, first=None, seeks=True, is_asked=lambda time: True):
        kept = list(frames)
        FakeReader.opened = []
        monkeypatch.setattr(survey, "can_seek", lambda info: seeks)
        monkeypatch.setattr(survey, "read", lambda info, limits, start: FakeReader(kept, start, seeks))
        surveyor = Surveyor(None, Limits(), None, first, is_asked, FakeTracker)
        shot = 0
        people = []
        for frame in kept:
            shot += frame.cut
            people.append(surveyor(frame, Track(None, 1.0, shot, False)) if frame.face else None)
        return surveyor, people

    return make


def test_every_shot_is_looked_at_once(made):
    surveyor, people = made(clip(20, cuts=(Fraction(6), Fraction(14))), first=Survey(Fraction(0), SOMEBODY))
    assert surveyor.n_surveys == 3
    assert [reader.start for reader in FakeReader.opened] == [6, 14]
    assert people[0] is SOMEBODY
    assert people[7 * RATE].times[0] == 6
    assert people[-1].times[0] == 14
    assert max(people[7 * RATE].times) < 10
    assert all(reader.closed and reader.read <= 4.1 * RATE for reader in FakeReader.opened)


def test_after_a_loss_the_next_face_is_a_stranger(made):
    gone = (3, 3 + RESET_AFTER + 1)
    surveyor, people = made(clip(9, lambda time: not gone[0] < time < gone[1]), first=Survey(Fraction(0), SOMEBODY))
    assert surveyor.n_surveys == 2
    assert people[-1].times[0] == gone[1]
    surveyor, _ = made(clip(9, lambda time: not 3 < time < 4.5), first=Survey(Fraction(0), SOMEBODY))
    assert surveyor.n_surveys == 1


def test_nobody_is_looked_at_for_frames_of_which_nothing_is_asked(made):
    _, people = made(clip(10, cuts=(Fraction(2),)), is_asked=lambda time: time > 9)
    assert [reader.start for reader in FakeReader.opened] == [2]
    assert people[5 * RATE] is None
    assert people[-1].times[0] == 2, "the shot's own first seconds, though asked for later"


@pytest.mark.parametrize("seeks", [True, False])
def test_short_shots_are_read_in_one_go(made, seeks):
    cuts = [Fraction(n, 2) for n in range(1, 20)]
    surveyor, people = made(clip(10, cuts=cuts), first=Survey(Fraction(0), SOMEBODY), seeks=seeks)
    assert surveyor.n_surveys == 20
    assert [people[n * RATE // 2].times[0] for n in range(1, 20)] == cuts
    (reader,) = FakeReader.opened
    assert reader.read <= 10 * RATE


def test_where_seeking_costs_the_whole_clip_reading_goes_on(made):
    cuts = (Fraction(10), Fraction(30))
    made(clip(40, cuts=cuts), first=Survey(Fraction(0), SOMEBODY), seeks=False)
    assert [reader.start for reader in FakeReader.opened] == [10]


def test_the_frames_ahead_are_not_kept(sample):
    ahead = survey._LookAhead(probe(sample), Limits())
    alive = []
    for frame in ahead.frames_from(Fraction(1, 3)):
        alive.append(weakref.ref(frame.planes[0]))
        assert sum(other() is not None for other in alive) <= 2
    assert len(alive) > RATE
    ahead.close()
