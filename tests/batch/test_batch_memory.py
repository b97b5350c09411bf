"""A batch in a container keeps to the container's memory, not to the machine's."""

from pathlib import Path

import psutil
import pytest

from cdrl.batch.memory import available_memory


@pytest.mark.parametrize(
    ("bound", "used", "dropped", "free"),
    [("1000", 600, 0, 400), ("1000", 900, 300, 400), ("1000", 1200, 0, 0), ("max", 600, 0, None)],
)
def test_a_containers_bound_counts(tmp_path: Path, bound: str, used: int, dropped: int, free: int | None) -> None:
    for name, text in (("max", bound), ("current", used), ("stat", f"anon 5\ninactive_file {dropped}\n")):
        (tmp_path / f"memory.{name}").write_text(f"{text}\n")
    found = available_memory(tmp_path)
    assert found > 10_000 if free is None else found == free


def test_without_a_group_it_is_the_machines(tmp_path: Path) -> None:
    assert available_memory(tmp_path) == pytest.approx(psutil.virtual_memory().available, rel=0.5)
