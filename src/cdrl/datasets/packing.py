"""A data set prepared into a folder: a file per finished clip, packed into shards when all are there.

The folder holds all there is to know about the run, so the same command goes on where it stopped: after Ctrl-C, a
crash, a full disk, a shard cut in half, or when clips were added.
"""

from __future__ import annotations

import fcntl
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from cdrl.datasets.clip import Clip
from cdrl.datasets.executor import Executor
from cdrl.datasets.preparation import Failure, Part, Settings, clip_facts, prepare_clip
from cdrl.datasets.shards import (
    END,
    MANIFEST,
    Entry,
    Manifest,
    Shard,
    members,
    part_facts,
    read_manifest,
    write_manifest,
)
from cdrl.datasets.table import Table
from cdrl.errors import InputError, OutputError, UsageError
from cdrl.files import atomic_write, file_sha256

_PARTS = "parts"
_LOCK = ".lock"
_HEAD = 1 << 14  # bytes of a part that hold its JSON
_SHARD_BYTES = 256 << 20  # a shard is closed before it would grow beyond

Progress = Callable[[int, int, str], None]
"""Told after each clip: how many are done, of how many, and what failed ("" where nothing did)."""


@dataclass
class Summary:
    """What a run did. `failures`: clip → reason; `remarks` are counted."""

    clips: int = 0
    frames: int = 0
    frames_seen: int = 0
    silent: int = 0
    already: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    remarks: Counter[str] = field(default_factory=Counter)


def prepare(
    table: Table, output: Path, settings: Settings, executor: Executor, progress: Progress, restart: bool = False
) -> Summary:
    """Prepare the clips of `table` into `output`; what is there already is not done again.

    Raises UsageError where the folder holds something else, OutputError where it cannot be written (run again to go
    on), InputError where not one clip can be prepared.
    """
    with _locked(output):
        manifest = _begun(output, settings.facts(), table, restart)
        summary = Summary(remarks=Counter(table.remarks))
        summary.failures = {problem.clip: problem.reason for problem in table.problems}
        done = {entry.id for entry in manifest.clips} | _finished(output, table.clips)
        summary.already = sum(clip.id in done for clip in table.clips)
        todo = [clip for clip in table.clips if clip.id not in done]
        _work(todo, output, settings, executor, progress, summary)
        manifest = _packed(output, manifest, [clip.id for clip in table.clips])
        if not manifest.clips:
            reason = next(iter(summary.failures.values()), "it is empty")
            raise InputError(f"{table.folder}: not one of its clips can be prepared (the first: {reason})")
        manifest = replace(manifest, failures=dict(sorted(summary.failures.items())), complete=True)
        write_manifest(output, manifest)
        shutil.rmtree(output / _PARTS, ignore_errors=True)
    summary.clips = len(manifest.clips)
    summary.frames = sum(entry.frames for entry in manifest.clips)
    summary.frames_seen = sum(entry.frames_seen for entry in manifest.clips)
    summary.silent = sum(not entry.sound for entry in manifest.clips)
    return summary


@contextmanager
def _locked(output: Path) -> Iterator[None]:
    """The folder, made where it is missing, for this process alone."""
    try:
        (output / _PARTS).mkdir(parents=True, exist_ok=True)
        lock = (output / _LOCK).open("w")
    except OSError as error:
        raise OutputError(f"{output}: cannot be written ({error.strerror}): choose another --output") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UsageError(f"{output}: another `cdrl data prepare` is at work there; wait for its end") from error
        yield
        (output / _LOCK).unlink(missing_ok=True)


def _begun(output: Path, settings: Mapping[str, object], table: Table, restart: bool) -> Manifest:
    """The manifest to go on from, without what is damaged."""
    if restart:
        for path in (*output.glob("*.tar"), *(output / _PARTS).glob("*"), output / MANIFEST):
            path.unlink(missing_ok=True)
    if not (output / MANIFEST).is_file():
        manifest = Manifest(dict(settings))
        write_manifest(output, manifest)
        return manifest
    manifest = read_manifest(output)
    theirs = manifest.settings
    if other := sorted(key for key in theirs.keys() | settings.keys() if theirs.get(key) != settings.get(key)):
        raise UsageError(
            f"{output} was prepared with other settings ({', '.join(other)}): choose another --output, or begin anew "
            "with --restart"
        )
    known = {clip.id: clip_facts(clip) for clip in table.clips}
    if strange := [entry.id for entry in manifest.clips if entry.id not in known]:
        raise UsageError(
            f"{output} holds clips that {table.folder} has not (such as {strange[0]}): choose another --output, or "
            "begin anew with --restart"
        )
    return _sound(output, manifest, known)


def _sound(output: Path, manifest: Manifest, known: Mapping[str, Mapping[str, object]]) -> Manifest:
    """The manifest without shards that are damaged, and without clips that have changed since: a shard with one of
    those is taken apart, and its other clips become parts again."""
    kept, entries = [], list[Entry]()
    for shard in manifest.shards:
        path, inside = output / shard.name, [entry for entry in manifest.clips if entry.shard == shard.name]
        if not _whole(path, shard):
            continue
        content = path.read_bytes()
        pieces = {entry.id: content[entry.offset : entry.offset + entry.bytes] for entry in inside}
        fresh = [name for name, piece in pieces.items() if part_facts(piece[:_HEAD])["clip"] == known[name]]
        if len(fresh) == len(inside):
            kept.append(shard)
            entries += inside
            continue
        for name in fresh:
            atomic_write(output / _PARTS / f"{name}.tar", [pieces[name]])
    manifest = replace(manifest, shards=tuple(kept), clips=tuple(entries), complete=False)
    write_manifest(output, manifest)
    for path in set(output.glob("*.tar")) - {output / shard.name for shard in kept}:
        path.unlink()
    return manifest


def _whole(path: Path, shard: Shard) -> bool:
    return path.is_file() and path.stat().st_size == shard.bytes and file_sha256(path) == shard.sha256


def _finished(output: Path, clips: Iterable[Clip]) -> set[str]:
    """Ids of the clips whose part is there, whole and up to date; other parts are removed."""
    known = {clip.id: clip_facts(clip) for clip in clips}
    found = set()
    for path in (output / _PARTS).iterdir():
        try:
            if path.suffix != ".tar":
                raise InputError("a part that was not finished")
            content = path.read_bytes()
            if not any(what == "times.npy" for what, _, _ in members(content, path.stem)):
                raise InputError("cut off")
            if part_facts(content[:_HEAD])["clip"] != known.get(path.stem):
                raise InputError("out of date")
            found.add(path.stem)
        except InputError:
            path.unlink()
    return found


def _work(
    todo: list[Clip], output: Path, settings: Settings, executor: Executor, progress: Progress, summary: Summary
) -> None:
    """Prepare what is missing; each clip's part is written as soon as it is finished."""
    outcomes = executor.run(partial(prepare_clip, settings=settings), todo)
    with closing(outcomes):  # type: ignore[type-var]  # an iterator that is a generator
        for done, outcome in enumerate(outcomes, start=1):
            clip, result = todo[outcome.index], outcome.result
            failed = result.reason if isinstance(result, Failure) else outcome.error
            if isinstance(result, Part):
                atomic_write(output / _PARTS / f"{clip.id}.tar", [result.data])
                summary.remarks.update(result.remarks)
            else:
                summary.failures[clip.id] = failed
            progress(done, len(todo), f"{clip.id}: {failed}" if failed else "")


def _packed(output: Path, manifest: Manifest, order: list[str]) -> Manifest:
    """Parts into shards, in the table's order. After each shard the manifest says so and its parts go."""
    parts = [path for name in order if (path := output / _PARTS / f"{name}.tar").is_file()]
    packed = {entry.id for entry in manifest.clips}
    parts = [path for path in parts if path.stem not in packed]
    while parts:
        taken, size = list[Path](), 0
        while parts and (not taken or size + parts[0].stat().st_size <= _SHARD_BYTES):
            size += parts[0].stat().st_size
            taken.append(parts.pop(0))
        number = 1 + max((int(shard.name.split(".")[0]) for shard in manifest.shards), default=-1)
        manifest = _close_shard(output, manifest, f"{number:06d}.tar", taken)
        for path in taken:
            path.unlink()
    return manifest


def _close_shard(output: Path, manifest: Manifest, name: str, parts: list[Path]) -> Manifest:
    entries: list[Entry] = []

    def pieces() -> Iterator[bytes]:
        at = 0
        for path in parts:
            content = path.read_bytes()
            facts = part_facts(content)
            numbers = facts["frames"], facts["frames_seen"], facts["sound"]
            entries.append(Entry(path.stem, name, at, len(content), *numbers))
            at += len(content)
            yield content
        yield END

    size, digest = atomic_write(output / name, pieces())
    shards = (*manifest.shards, Shard(name, size, digest))
    manifest = replace(manifest, shards=shards, clips=(*manifest.clips, *entries), complete=False)
    write_manifest(output, manifest)
    return manifest
