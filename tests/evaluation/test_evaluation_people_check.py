"""One person under two names is found by the faces, and named with both clips and both splits."""

from __future__ import annotations

import numpy as np
import pytest

from cdrl.cli.main import main
from cdrl.datasets.splits import load_split
from cdrl.evaluation import people_check
from cdrl.evaluation.people_check import PersonClip, find_crossings, find_matches


def person_clip(name: str, actor: str, direction: int, angle: float = 0.0, dataset: str = "set") -> PersonClip:
    """A clip whose vector is near one of 128 directions, beside a part that all faces share."""
    vector = np.zeros(128)
    vector[[direction, (direction + 1) % 128]] = np.cos(angle), np.sin(angle)
    vector += 2 / np.sqrt(128)
    return PersonClip(name, dataset, actor, vector / np.linalg.norm(vector))


@pytest.mark.parametrize("people", [4, 20])  # too few for a mean, and enough
def test_one_person_under_two_names_is_found(people):
    clips = [person_clip(f"clip{n}", f"p{n}", 2 * n) for n in range(people)]
    clips += [person_clip("again", "stranger", 0, 0.1, "demo"), person_clip("more", "p1", 2, 0.1)]
    (match,) = find_matches(clips)
    assert {match.first.name, match.second.name} == {"clip0", "again"}
    assert "set/p0 (clip0) and demo/stranger (again) seem to be one person" in str(match)


def test_only_names_on_both_sides_of_a_split_are_crossings():
    clips = [person_clip(f"clip{n}", f"p{n}", 2 * n) for n in range(20)]
    clips += [person_clip("a", "M003", 0, 0.1), person_clip("b", "p21", 2, 0.1)]
    matches = find_matches(clips)
    assert len(matches) == 2
    (crossing,) = find_crossings(matches, load_split("shipped"))
    assert "M003" in str(crossing)


def test_nobody_and_one_person_alone_have_no_match():
    assert find_matches([]) == find_matches([person_clip("a", "p", 0), person_clip("b", "p", 9)]) == []


def test_the_command_says_who_is_in_two_splits_and_exits_so(tmp_path, sample, capsys, monkeypatch):
    rows = ["path,actor,emotion"]
    for number, actor in enumerate(["1001", "somebody", "anna", "ben"]):
        path = tmp_path / f"{number}.flv"
        path.write_bytes(sample.read_bytes() + bytes(number))
        rows.append(f"{path.name},{actor},happy")
    (tmp_path / "clips.csv").write_text("\n".join(rows))
    directions = {"0": 0, "1": 0, "2": 5, "3": 9}
    monkeypatch.setattr(people_check, "recognize_file", lambda path: person_clip("", "", directions[path.stem]).vector)
    assert main(["data", "check", str(tmp_path), "--people", "--split", "shipped"]) == 3
    said = capsys.readouterr().out
    assert "/1001 (0) and" in said and "seem to be one person: cosine 1.00; they are in different splits" in said
    assert "4 clips, 1 under two names, 1 of them in different splits" in said
    assert "by 0 of 0 clips, and not by 5 of 6 pairs of two names in one data set" in said


def test_two_clips_of_one_person_are_alike_in_the_real_network(repository, evaluators):
    first, second = (people_check.recognize_file(repository / f"examples/1001_DFA_{e}_XX.flv") for e in ("ANG", "HAP"))
    assert first @ second > 0.96
