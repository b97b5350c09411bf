"""What makes data works in folders of its own and leaves those of others."""

from __future__ import annotations

import pytest

from cdrl.errors import InputError, OutputExistsError
from cdrl_synthetic import voice
from cdrl_synthetic.command import Options, run
from cdrl_synthetic.planning import SyntheticSettings


def test_a_folder_of_somebody_else_with_the_name_to_work_in_is_refused(tmp_path, speech, head, drawing):
    theirs = tmp_path / "out.partial/clips/mine.mp4"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("mine")
    settings = SyntheticSettings(people=1, clips=2, emotions=2, seconds=1.2, seed=5, size=64)
    with pytest.raises(OutputExistsError, match=r"mine\.mp4"):
        run(Options(tmp_path / "out", speech, settings=settings, workers=1))
    assert theirs.read_text() == "mine"


def test_takes_of_a_voice_leave_a_folder_named_partial_alone(tmp_path):
    (tmp_path / "takes.partial").mkdir()
    (tmp_path / "takes.partial/mine.wav").write_text("mine")
    (tmp_path / "sentences.txt").write_text("one two three four five six\n")
    missing = tmp_path / "piper"
    with pytest.raises(InputError, match="cannot be run"):
        voice.run(voice.Options(tmp_path / "sentences.txt", tmp_path / "takes", missing, missing, sentences=1))
    assert (tmp_path / "takes.partial/mine.wav").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sentences.txt", "takes.partial"]
