"""A data set prepared into a folder: a file per finished clip, packed into shards when all are there.

The folder holds all there is to know about the run, so the same command goes on where it stopped: after Ctrl-C, a
crash, a full disk, a shard cut in half, or when clips were added.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from cdrl.datasets.clip import Clip
from cdrl.datasets.preparation import Failure, Part, Settings, clip_facts, prepare_clip
from cdrl.datasets.shards import BLOCK, END, Entry, Manifest, Shard, facts_end, members, part_facts, write_manifest
from cdrl.datasets.table import Table
from cdrl.datasets.workplace import Workplace
from cdrl.errors import InputError, UsageError
from cdrl.files import atomic_write
from cdrl.locks import lock_folder
from cdrl.parallel import Executor

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
    on) or another run is at work there, InputError where not one clip can be prepared.
    """
    with lock_folder(output, "cdrl data prepare"):
        known = {clip.id: clip_facts(clip) for clip in table.clips}
        place = Workplace(output, known)
        manifest = _begin(place, settings.facts(), table, known, restart)
        summary = Summary(remarks=Counter(table.remarks))
        summary.failures = {problem.clip: problem.reason for problem in table.problems}
        done = {entry.id for entry in manifest.clips} | _find_finished(place, known)
        summary.already = sum(clip.id in done for clip in table.clips)
        todo = [clip for clip in table.clips if clip.id not in done]
        _work(todo, place, settings, executor, progress, summary)
        manifest = _pack(place, manifest, list(known))
        if not manifest.clips:
            reason = next(iter(summary.failures.values()), "it is empty")
            raise InputError(f"{table.folder}: not one of its clips can be prepared (the first: {reason})")
        manifest = replace(manifest, failures=dict(sorted(summary.failures.items())), complete=True)
        write_manifest(output, manifest, place.parts)
        place.close()
    summary.clips = len(manifest.clips)
    summary.frames = sum(entry.frames for entry in manifest.clips)
    summary.frames_seen = sum(entry.frames_seen for entry in manifest.clips)
    summary.silent = sum(not entry.sound for entry in manifest.clips)
    return summary


def _begin(
    place: Workplace,
    settings: Mapping[str, object],
    table: Table,
    known: Mapping[str, Mapping[str, object]],
    restart: bool,
) -> Manifest:
    """The manifest to go on from, without what is damaged."""
    manifest = place.read(restart)
    place.open()
    if manifest is None or restart:
        if manifest is not None:
            place.clear(manifest)
            place.open()
        manifest = Manifest(dict(settings))
        write_manifest(place.output, manifest, place.parts)
        return manifest
    theirs = manifest.settings
    if other := sorted(key for key in theirs.keys() | settings.keys() if theirs.get(key) != settings.get(key)):
        raise UsageError(
            f"{place.output} was prepared with other settings ({', '.join(other)}): choose another --output, or begin "
            "anew with --restart"
        )
    if strange := [entry.id for entry in manifest.clips if entry.id not in known]:
        raise UsageError(
            f"{place.output} holds clips that {table.folder} has not (such as {strange[0]}): choose another --output, "
            "or begin anew with --restart"
        )
    return _keep_sound(place, manifest, known)


def _keep_sound(place: Workplace, manifest: Manifest, known: Mapping[str, Mapping[str, object]]) -> Manifest:
    """The manifest without shards that are damaged, and without clips that have changed since: a shard with one of
    those is taken apart, and its other clips become parts again."""
    kept, entries, gone = [], list[Entry](), list[Path]()
    for shard in manifest.shards:
        path, inside = place.output / shard.name, [entry for entry in manifest.clips if entry.shard == shard.name]
        if place.is_whole(shard):
            pieces = _fresh_pieces(path, inside, known)
            if len(pieces) == len(inside):
                kept.append(shard)
                entries += inside
                continue
            for name, piece in pieces.items():
                atomic_write(place.part(name), [piece])
        gone.append(path)
    place.drop_staged()
    for path in gone:  # before the manifest forgets that it is ours
        path.unlink(missing_ok=True)
    manifest = replace(manifest, shards=tuple(kept), clips=tuple(entries), complete=False)
    write_manifest(place.output, manifest, place.parts)
    return manifest


def _fresh_pieces(path: Path, inside: Iterable[Entry], known: Mapping[str, Mapping[str, object]]) -> dict[str, bytes]:
    """The parts within a shard whose clips are as they were."""
    content = path.read_bytes()
    pieces = {entry.id: content[entry.offset : entry.offset + entry.bytes] for entry in inside}
    return {name: piece for name, piece in pieces.items() if _facts_of(piece).get("clip") == known[name]}


def _facts_of(part: bytes) -> dict[str, Any]:
    """The facts of a part; none where it is damaged."""
    try:
        return part_facts(part[: facts_end(part[:BLOCK])])
    except ValueError:
        return {}


def _find_finished(place: Workplace, known: Mapping[str, Mapping[str, object]]) -> set[str]:
    """Ids of the clips whose part is there, whole and up to date; our other parts are removed."""
    found = set()
    for path in place.own_parts():
        content = path.read_bytes()
        try:
            whole = any(what == "times.npy" for what, _, _ in members(content, path.stem))
        except InputError:
            whole = False
        if whole and path.stem in known and _facts_of(content).get("clip") == known[path.stem]:
            found.add(path.stem)
        else:
            path.unlink()
    return found


def _work(
    todo: list[Clip], place: Workplace, settings: Settings, executor: Executor, progress: Progress, summary: Summary
) -> None:
    """Prepare what is missing; each clip's part is written as soon as it is finished."""
    outcomes = executor.run(partial(prepare_clip, settings=settings), todo)
    with closing(outcomes):  # type: ignore[type-var]  # an iterator that is a generator
        for done, outcome in enumerate(outcomes, start=1):
            clip, result = todo[outcome.index], outcome.result
            failed = result.reason if isinstance(result, Failure) else outcome.error
            if isinstance(result, Part):
                atomic_write(place.part(clip.id), [result.data])
                summary.remarks.update(result.remarks)
            else:
                summary.failures[clip.id] = failed
            progress(done, len(todo), f"{clip.id}: {failed}" if failed else "")


def _pack(place: Workplace, manifest: Manifest, order: list[str]) -> Manifest:
    """Parts into shards, in the table's order. After each shard the manifest says so and its parts go."""
    packed = {entry.id for entry in manifest.clips}
    parts = [path for name in order if name not in packed and (path := place.part(name)).is_file()]
    while parts:
        taken, size = list[Path](), 0
        while parts and (not taken or size + parts[0].stat().st_size <= _SHARD_BYTES):
            size += parts[0].stat().st_size
            taken.append(parts.pop(0))
        number = 1 + max((int(shard.name.split(".")[0]) for shard in manifest.shards), default=-1)
        manifest = _close_shard(place, manifest, f"{number:06d}.tar", taken)
        for path in taken:
            path.unlink()
    return manifest


def _close_shard(place: Workplace, manifest: Manifest, name: str, parts: list[Path]) -> Manifest:
    """Write a shard, name it in the manifest, then give it its name: whenever it ends, the manifest knows it."""
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

    size, digest = atomic_write(place.staged(name), pieces())
    shards = (*manifest.shards, Shard(name, size, digest))
    manifest = replace(manifest, shards=shards, clips=(*manifest.clips, *entries), complete=False)
    write_manifest(place.output, manifest, place.parts)
    place.finish(name)
    return manifest
