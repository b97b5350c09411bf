"""A data set prepared into a folder: a file for each finished clip, packed into shards when all are there.

The folder holds all that a run needs to know, so the same command goes on where it stopped: after Ctrl-C, a crash, a
full disk, a shard cut in half, or when clips were added. The manifest names a shard before its file appears, and
finished clips lie in a hidden folder; whatever else the folder holds belongs to somebody else and is not touched.
"""

from __future__ import annotations

import hashlib
import io
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from cdrl.datasets.clip import Clip, ClipTable
from cdrl.datasets.preparation import Failure, PreparationSettings, Sample, clip_metadata, prepare_clip
from cdrl.datasets.shards import (
    END,
    MANIFEST,
    SHARD_NAME,
    ClipEntry,
    Shard,
    ShardManifest,
    list_members,
    read_manifest,
    read_metadata,
    write_manifest,
)
from cdrl.errors import InputError, UsageError
from cdrl.files import atomic_write, remove_temporaries
from cdrl.locks import lock_folder
from cdrl.parallel import Executor

SAMPLES = ".cdrl-samples"
"""Subfolder of the finished clips that are in no shard yet."""
_SHARD_BYTES = 256 << 20  # a shard is closed before it would grow beyond

Progress = Callable[[int, int, str], None]
"""Called after each clip with how many are done, of how many, and what failed ("" where nothing did)."""


@dataclass
class PreparationSummary:
    """What a run did, and what the folder holds after it."""

    clips: int = 0
    """Clips in the folder."""
    frames: int = 0
    """Their frames with a face."""
    frames_seen: int = 0
    """Their frames in which a face was looked for."""
    silent: int = 0
    """Clips without speech features."""
    already: int = 0
    """Clips that an earlier run had prepared."""
    failures: dict[str, str] = field(default_factory=dict)
    """Clip to reason."""
    faults: dict[str, str] = field(default_factory=dict)
    """Clip that this run prepared without its damaged sound, to reason."""
    remarks: Counter[str] = field(default_factory=Counter)
    """What is true of clips, and of how many."""


def prepare(
    table: ClipTable,
    output: Path,
    settings: PreparationSettings,
    executor: Executor,
    progress: Progress,
    restart: bool = False,
) -> PreparationSummary:
    """Prepare the clips of a data set; clips that are prepared already are not done again.

    Args:
        table: The data set.
        output: Folder of the shards; made where it is missing.
        settings: What the prepared clips depend on.
        executor: What runs `prepare_clip` on many clips.
        progress: Called after each clip.
        restart: Remove what earlier runs have made in the folder, and begin anew.

    Raises:
        UsageError: The folder holds another data set, other settings, or files of somebody else in the way.
        OutputError: The folder cannot be written, or another run is at work there.
        InputError: Not one clip can be prepared.
    """
    with lock_folder(output, "cdrl data prepare"):
        known = {clip.id: clip_metadata(clip) for clip in table.clips}
        manifest = _load_manifest(output, settings, table, restart)
        manifest = _verify_shards(output, manifest, known)
        done = {entry.id for entry in manifest.clips} | _find_samples(output, known)
        summary = PreparationSummary(remarks=Counter(table.remarks))
        summary.failures = {problem.clip: problem.reason for problem in table.problems}
        summary.already = sum(clip.id in done for clip in table.clips)
        _prepare_clips(
            [clip for clip in table.clips if clip.id not in done], output, settings, executor, progress, summary
        )
        manifest = _pack_samples(output, manifest, list(known))
        if not manifest.clips:
            reason = next(iter(summary.failures.values()), "it is empty")
            raise InputError(f"{table.folder}: not one of its clips can be prepared (the first: {reason})")
        manifest = replace(manifest, failures=dict(sorted(summary.failures.items())), complete=True)
        write_manifest(output, manifest)
        shutil.rmtree(output / SAMPLES)
    summary.clips = len(manifest.clips)
    summary.frames = sum(entry.frames for entry in manifest.clips)
    summary.frames_seen = sum(entry.frames_seen for entry in manifest.clips)
    summary.silent = sum(not entry.sound for entry in manifest.clips)
    return summary


def _load_manifest(output: Path, settings: PreparationSettings, table: ClipTable, restart: bool) -> ShardManifest:
    """The manifest to go on from. Raises UsageError, naming the file, where somebody else's is in the way."""
    recorded = settings.to_dict()
    manifest = ShardManifest(recorded)
    if (output / MANIFEST).exists():
        try:
            manifest = read_manifest(output)
        except InputError as error:
            raise _in_the_way(output / MANIFEST) from error
    own = {shard.name for shard in manifest.shards}
    for path in sorted(output.glob("[!.]*.tar")):
        if path.name not in own and (restart or SHARD_NAME.match(path.name)):
            raise _in_the_way(path)
    remove_temporaries(output)
    if restart:
        for name in own:
            (output / name).unlink(missing_ok=True)
        shutil.rmtree(output / SAMPLES, ignore_errors=True)
        return ShardManifest(recorded)
    stored = manifest.settings
    if other := sorted(key for key in stored.keys() | recorded.keys() if stored.get(key) != recorded.get(key)):
        raise UsageError(
            f"{output} was prepared with other settings ({', '.join(other)}): choose another --output, or begin anew "
            "with --restart"
        )
    known = {clip.id for clip in table.clips}
    if strange := [entry.id for entry in manifest.clips if entry.id not in known]:
        raise UsageError(
            f"{output} holds clips that {table.folder} has not (such as {strange[0]}): choose another --output, or "
            "begin anew with --restart"
        )
    return manifest


def _in_the_way(path: Path) -> UsageError:
    return UsageError(
        f"{path} is no file of this run of `cdrl data prepare`, which touches no others: choose another --output, or "
        "move it away"
    )


def _verify_shards(output: Path, manifest: ShardManifest, known: Mapping[str, Mapping[str, object]]) -> ShardManifest:
    """Remove shards that are damaged or hold clips that have changed since; their other clips become samples again."""
    (output / SAMPLES).mkdir(exist_ok=True)
    remove_temporaries(output / SAMPLES)
    shards, entries = list[Shard](), list[ClipEntry]()
    for shard in manifest.shards:
        path, inside = output / shard.name, [entry for entry in manifest.clips if entry.shard == shard.name]
        content = b"" if shard.find_fault(output) else path.read_bytes()
        samples = {entry.id: content[entry.offset : entry.offset + entry.bytes] for entry in inside}
        current = {clip: sample for clip, sample in samples.items() if _is_current(clip, sample, known)}
        if len(current) == len(inside):
            shards.append(shard)
            entries += inside
            continue
        for clip, sample in current.items():
            atomic_write(_sample_path(output, clip), [sample])
        path.unlink(missing_ok=True)
    manifest = replace(manifest, shards=tuple(shards), clips=tuple(entries), complete=False)
    write_manifest(output, manifest)
    return manifest


def _is_current(clip: str, sample: bytes, known: Mapping[str, Mapping[str, object]]) -> bool:
    """Whether a sample is whole and its clip has not changed since."""
    file = io.BytesIO(sample)
    try:
        whole = any(name == "times.npy" for name, _, _ in list_members(file, clip, 0, len(sample)))
        return whole and read_metadata(file, clip, 0, len(sample)).get("clip") == known.get(clip, ())
    except InputError:
        return False


def _sample_path(output: Path, clip: str) -> Path:
    return output / SAMPLES / f"{clip}.tar"


def _find_samples(output: Path, known: Mapping[str, Mapping[str, object]]) -> set[str]:
    """Ids of the clips whose sample is there and up to date; other samples are removed."""
    current = set()
    for path in (output / SAMPLES).glob("*.tar"):
        if _is_current(path.stem, path.read_bytes(), known):
            current.add(path.stem)
        else:
            path.unlink()
    return current


def _prepare_clips(
    clips: list[Clip],
    output: Path,
    settings: PreparationSettings,
    executor: Executor,
    progress: Progress,
    summary: PreparationSummary,
) -> None:
    """Prepare what is missing; each clip's sample is written as soon as it is finished."""
    outcomes = executor.run(partial(prepare_clip, settings=settings), clips)
    with closing(outcomes):  # type: ignore[type-var]  # an iterator that is a generator
        for done, outcome in enumerate(outcomes, start=1):
            clip, result = clips[outcome.index], outcome.result
            failure = result.reason if isinstance(result, Failure) else outcome.error
            if isinstance(result, Sample):
                atomic_write(_sample_path(output, clip.id), [result.data])
                summary.remarks.update(result.remarks)
                if result.fault:
                    summary.faults[clip.id] = result.fault
            else:
                summary.failures[clip.id] = failure
            progress(done, len(clips), f"{clip.id}: {failure}" if failure else "")


def _pack_samples(output: Path, manifest: ShardManifest, order: list[str]) -> ShardManifest:
    """Pack samples into shards, in the table's order. After each shard the manifest says so and its samples go."""
    packed = {entry.id for entry in manifest.clips}
    waiting = [path for clip in order if clip not in packed and (path := _sample_path(output, clip)).is_file()]
    while waiting:
        chosen, size = list[Path](), 0
        while waiting and (not chosen or size + waiting[0].stat().st_size <= _SHARD_BYTES):
            size += waiting[0].stat().st_size
            chosen.append(waiting.pop(0))
        manifest = _write_shard(output, manifest, chosen)
        for path in chosen:
            path.unlink()
    return manifest


def _write_shard(output: Path, manifest: ShardManifest, samples: list[Path]) -> ShardManifest:
    """Name a shard in the manifest, then write it: one that is missing after a crash is packed again."""
    name = f"{1 + max((int(shard.name.split('.')[0]) for shard in manifest.shards), default=-1):06d}.tar"
    if (output / name).exists():
        raise _in_the_way(output / name)
    digest, at, entries = hashlib.sha256(), 0, []
    for path in samples:
        content = path.read_bytes()
        facts = read_metadata(io.BytesIO(content), path.stem, 0, len(content))
        numbers = facts["frames"], facts["frames_seen"], facts["sound"]
        entries.append(ClipEntry(path.stem, name, at, len(content), *numbers))
        digest.update(content)
        at += len(content)
    digest.update(END)
    shards = (*manifest.shards, Shard(name, at + len(END), digest.hexdigest()))
    manifest = replace(manifest, shards=shards, clips=(*manifest.clips, *entries), complete=False)
    write_manifest(output, manifest)

    def pieces() -> Iterator[bytes]:
        yield from (path.read_bytes() for path in samples)
        yield END

    atomic_write(output / name, pieces(), overwrite=False)
    return manifest
