"""The loop every recipe shares: as many processes as one wants, interrupted when one likes, the same losses."""

import json
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from runs import losses, same, stopped_at, two_processes

from cdrl.errors import InputError, OutputError, TrainingError, UsageError

torch = pytest.importorskip("torch")

from torch.optim.optimizer import register_optimizer_step_post_hook  # noqa: E402

from cdrl.representations.checkpoints import load_into, load_model, save_model  # noqa: E402
from cdrl.training import loop  # noqa: E402
from cdrl.training.checkpoint import read_state  # noqa: E402
from cdrl.training.distributed import World, join_world  # noqa: E402
from cdrl.training.loop import fit  # noqa: E402
from cdrl.training.options import LoopOptions  # noqa: E402

BATCH, WIDTH = 8, 6


class Pairs:
    """Two views of the same vector are told from the others' views: a contrastive task in ten lines."""

    def __init__(self, bad_step: int | None = None):
        torch.manual_seed(0)
        self.rate_factors = {"0.": 0.5}
        self.model = torch.nn.Sequential(torch.nn.Linear(WIDTH, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4))
        self.bad_step = bad_step

    def loss(self, step, world):
        draw = np.random.default_rng((0, step))
        points = draw.normal(size=(2, BATCH, WIDTH)).astype(np.float32)
        points[1] = points[0] + 0.1 * points[1]
        mine = world.slice(BATCH)
        one, two = (
            world.gather(torch.nn.functional.normalize(self.model(torch.from_numpy(side[mine])).float(), dim=1))
            for side in points
        )
        loss = torch.nn.functional.cross_entropy(one @ two.T / 0.1, torch.arange(BATCH))
        return {"loss": loss * float("nan") if step == self.bad_step else loss}

    def validate(self):
        return {"score": float(self.model[0].weight.abs().sum())}

    def export(self):
        return self.model.state_dict(), "pairs", {"width": WIDTH}


def options(folder, **changes):
    given = {"steps": 12, "warmup": 2, "validate_every": 4, "device": "cpu", "precision": "float32", **changes}
    return LoopOptions(output=Path(folder), **given)


def train(folder, task=None, settings=None, **changes):
    with join_world("cpu", 0) as world:
        return fit(task or Pairs(), options(folder, **changes), world, settings or {})


def records(folder):
    """What the log says, but for the time it took."""
    lines = [json.loads(line) for line in (Path(folder) / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def check_it_goes_on(folder):
    """The run in a folder goes on as one does that was never stopped."""
    whole = folder.with_name("whole")
    assert train(folder).read_bytes() == train(whole).read_bytes()
    assert records(folder) == records(whole)


def test_an_interrupted_run_goes_on_with_the_losses_it_would_have_had(tmp_path, monkeypatch):
    with stopped_at(7, Pairs, monkeypatch):
        train(tmp_path / "stopped")
    check_it_goes_on(tmp_path / "stopped")


@pytest.mark.parametrize("how", ["Ctrl-C", "an exception"])
def test_an_interrupt_between_the_weights_and_the_step_counter_changes_nothing(tmp_path, how):
    steps = []

    def stop(*_):
        steps.append(how)
        if len(steps) == 7:
            if how == "Ctrl-C":
                signal.raise_signal(signal.SIGINT)
            else:
                raise KeyboardInterrupt

    hook = register_optimizer_step_post_hook(stop)
    try:
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "stopped")
    finally:
        hook.remove()
    check_it_goes_on(tmp_path / "stopped")


@pytest.mark.parametrize("step", [8, 12])
def test_a_validation_that_was_cut_short_is_done_again(tmp_path, step):
    class Stopped(Pairs):
        def validate(self):
            if max(losses(tmp_path / "stopped")) == step:
                raise KeyboardInterrupt
            return super().validate()

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "stopped", Stopped())
    check_it_goes_on(tmp_path / "stopped")


def test_a_kill_between_checkpoint_and_state_or_within_a_line_changes_nothing(tmp_path):
    class Killed(Pairs):
        """Leaves the folder as a kill does after the second validation's checkpoint was written."""

        def validate(self):
            if max(losses(tmp_path / "killed")) == 8:
                shutil.copy(tmp_path / "killed" / "last.safetensors", tmp_path / "before")
            return super().validate()

    train(tmp_path / "killed", Killed())
    shutil.copy(tmp_path / "before", tmp_path / "killed" / "last.safetensors")
    for torn in (b'{"step": 12, "ki', b'{"step": 12, "loss": 0.1}}', b"\xff\0\n"):
        with (tmp_path / "killed" / "log.jsonl").open("ab") as file:
            file.write(torn)
    check_it_goes_on(tmp_path / "killed")


def test_the_optimizer_averages_gradients_as_asked(tmp_path):
    used = set()
    hook = register_optimizer_step_post_hook(lambda optimizer, *_: used.add(optimizer.param_groups[0]["betas"]))
    try:
        train(tmp_path / "usual")
        train(tmp_path / "other", betas=(0.0, 0.9))
    finally:
        hook.remove()
    assert used == {(0.9, 0.99), (0.0, 0.9)}
    with pytest.raises(UsageError, match=r"^--betas 0 1: from 0 to below 1 each$"):
        train(tmp_path / "refused", betas=(0.0, 1.0))


def test_a_kill_before_the_first_validation_costs_minutes_and_not_every_step(tmp_path, monkeypatch):
    class Killed(Pairs):
        """Two minutes a step; ends as by a kill in the seventh, with nothing saved on the way out."""

        def loss(self, step, world):
            if step == 6:
                raise MemoryError
            clock[0] += 120
            return super().loss(step, world)

    clock = [time.monotonic()]
    monkeypatch.setattr(loop.time, "monotonic", lambda: clock[0])
    with pytest.raises(MemoryError):
        train(tmp_path / "killed", Killed(), validate_every=12)
    assert read_state(tmp_path / "killed" / "last.safetensors")[1]["step"] == 6
    steps = []

    class Watched(Pairs):
        def loss(self, step, world):
            steps.append(step)
            return super().loss(step, world)

    resumed, whole = (
        train(tmp_path / "killed", Watched(), validate_every=12),
        train(tmp_path / "whole", validate_every=12),
    )
    assert steps == list(range(6, 12))
    assert resumed.read_bytes() == whole.read_bytes()
    assert records(tmp_path / "killed") == records(tmp_path / "whole")


@pytest.mark.parametrize(
    "change",
    [{"weight_decay": 0.5}, {"average": 0.5}, {"precision": "bfloat16"}, {"validate_every": 3}, {"betas": (0.0, 0.99)}],
)
def test_every_setting_that_shapes_the_result_is_compared(tmp_path, change):
    train(tmp_path)
    with pytest.raises(UsageError, match=rf"other settings \({next(iter(change))}\)"):
        train(tmp_path, **change)


@pytest.mark.parametrize("size", [0, 5, 2000, -20])
def test_a_damaged_state_is_told_in_one_line_with_the_way_out(tmp_path, size):
    train(tmp_path)
    last = tmp_path / "last.safetensors"
    last.write_bytes(last.read_bytes()[:size])
    with pytest.raises(InputError, match=r"last\.safetensors.*--restart") as found:
        train(tmp_path)
    assert "\n" not in str(found.value)
    assert train(tmp_path, restart=True).is_file()


def test_two_processes_compute_what_one_does(tmp_path):
    train(tmp_path / "one")
    two_processes(__file__, tmp_path / "two")
    assert len(losses(tmp_path / "one")) == 12
    assert same(tmp_path / "one", tmp_path / "two")
    weights = [load_model(tmp_path / name / "best.safetensors", "pairs")[0] for name in ("one", "two")]
    # The weights of a checkpoint are float16: one unit in the last place.
    assert all(torch.allclose(weights[0][name], weights[1][name], atol=1e-3) for name in weights[0])


def test_a_loss_that_is_not_a_number_stops_the_run_and_keeps_what_was_saved(tmp_path):
    with pytest.raises(TrainingError, match=r"step 7.*--learning-rate"):
        train(tmp_path, Pairs(bad_step=6))
    train(tmp_path)  # from step 4, with a task that is well again
    assert sorted(losses(tmp_path)) == list(range(1, 13))


def test_a_full_disk_says_so_and_training_goes_on_later(tmp_path, monkeypatch):
    def full(self, target):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(OutputError, match=r"No space left on device.*run the same command again"):
            train(tmp_path)
    assert not list(tmp_path.glob("*.partial"))
    train(tmp_path)
    assert len(losses(tmp_path)) == 12


def test_a_folder_with_another_run_is_refused_unless_it_may_go(tmp_path):
    train(tmp_path, settings={"width": 1})
    with pytest.raises(UsageError, match=r"other settings \(width\).*--restart"):
        train(tmp_path, settings={"width": 2})
    train(tmp_path, settings={"width": 2}, restart=True)
    assert load_model(tmp_path / "best.safetensors", "pairs")[1]["training"]["width"] == 2


def test_a_batch_that_cannot_be_shared_evenly_is_refused():
    with pytest.raises(UsageError, match="multiple"):
        World(0, 3, torch.device("cpu")).slice(8)


def test_a_checkpoint_of_another_kind_is_refused_in_one_line(tmp_path):
    model = torch.nn.Linear(2, 3)
    good, cut, pickled = tmp_path / "good.safetensors", tmp_path / "cut.safetensors", tmp_path / "model.pth"
    save_model(good, model.state_dict(), "linear", {"in": 2})
    tensors, config = load_model(good, "linear")
    load_into(model, tensors, good)
    assert config == {"in": 2}
    with pytest.raises(InputError, match="'linear', but 'content'"):
        load_model(good, "content")
    with pytest.raises(InputError, match=r"1 missing \(first: bias\)"):
        load_into(model, {"weight": tensors["weight"]}, good)
    cut.write_bytes(good.read_bytes()[:-7])
    with pytest.raises(InputError, match="damaged"):
        load_model(cut, "linear")
    torch.save(model.state_dict(), pickled)
    with pytest.raises(InputError, match="cdrl convert"):
        load_model(pickled, "linear")


if __name__ == "__main__":
    torch.set_num_threads(1)
    train(sys.argv[1])
