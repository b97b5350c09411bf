"""Makes a neutral voice say many sentences, several takes each, with an external `piper` program.

    python -m cdrl_synthetic.voice TRANSCRIPTS OUTPUT --piper PROGRAM --model VOICE.onnx

TRANSCRIPTS has one sentence a line, with or without MEAD's clip id before it. OUTPUT gets one trimmed WAV file a take
and speech.csv (path, sentence, take, seconds), which `cdrl data synth --voice-speech OUTPUT` reads. Every take of a
sentence has its own speed and its own randomness of phone lengths, so that takes differ in timing as in life.
Piper is GPL: it is run as a program of its own and is no part of this package.
"""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
import tempfile
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from tyro.conf import Positional

from cdrl.errors import CdrlError, InputError, InputNotFoundError, OutputError, OutputExistsError, UsageError
from cdrl.files import temporary_path

SPEEDS = (1.0, 0.86, 1.18, 0.93, 1.08, 1.28)  # length scale of each take
_LOUD = 0.02  # of the loudest sample: below it, at the ends, is silence
_MARGIN = 0.06  # seconds kept around the speech


@dataclass(frozen=True)
class Options:
    """Make takes of sentences with an external piper."""

    transcripts: Positional[Path]
    """One sentence a line; a first word with an underscore is taken for a clip id."""
    output: Positional[Path]
    """Folder to make."""
    piper: Path
    """The piper program."""
    model: Path
    """Its voice (.onnx)."""
    sentences: int = 120
    """How many sentences."""
    takes: int = 5
    """How many takes of each, up to 6."""
    words: Annotated[tuple[int, int], "least and most"] = (5, 9)
    """Least and most words of a sentence."""
    seed: int = 1
    """Chooses the sentences."""


def run(options: Options) -> int:
    """Make the takes; returns the exit code."""
    if options.output.exists():
        raise OutputExistsError(f"{options.output}: exists; name a folder that does not")
    if not 1 <= options.takes <= len(SPEEDS):
        raise UsageError(f"--takes {options.takes}: give 1 to {len(SPEEDS)}")
    if not options.transcripts.is_file():
        raise InputNotFoundError(f"{options.transcripts}: no such file")
    sentences = choose_sentences(options.transcripts.read_text(encoding="utf-8"), options)
    partial = temporary_path(options.output)  # a name of its own: nobody else writes, or has written, there
    try:
        partial.mkdir(parents=True)
        _make_takes(sentences, partial, options)
        partial.rename(options.output)
    except OSError as error:
        if isinstance(error, CdrlError):
            raise
        raise OutputError(f"{options.output}: cannot be made ({error.strerror}); choose another place") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return 0


def _make_takes(sentences: list[str], folder: Path, options: Options) -> None:
    rows = []
    for take, scale in enumerate(SPEEDS[: options.takes]):
        for number, (sentence, (samples, rate)) in enumerate(
            zip(sentences, synthesize(sentences, scale, options), strict=True)
        ):
            name = f"{number:03d}_{take}.wav"
            trimmed_samples = trim_silence(samples, rate)
            _write(folder / name, trimmed_samples, rate)
            rows.append((name, sentence, take, f"{len(trimmed_samples) / rate:.3f}"))
    with (folder / "speech.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "sentence", "take", "seconds"), *sorted(rows)])


def choose_sentences(text: str, options: Options) -> list[str]:
    """Choose distinct sentences of the wanted length, in a random order that the seed fixes.

    Args:
        text: One sentence a line.
        options: How many sentences, and how long.

    Raises:
        InputError: There are too few.
    """
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
    distinct = {" ".join(words[1:] if "_" in words[0] else words).strip().lower() for words in lines}
    fits = sorted(line for line in distinct if options.words[0] <= len(line.split()) <= options.words[1])
    if len(fits) < options.sentences:
        raise InputError(
            f"{options.transcripts}: {len(fits)} sentences of {options.words[0]} to {options.words[1]} words where "
            f"{options.sentences} are wanted; give fewer --sentences or other --words"
        )
    order = np.random.default_rng(options.seed).permutation(len(fits))[: options.sentences]
    return [fits[index] for index in order]


def synthesize(sentences: list[str], scale: float, options: Options) -> list[tuple[NDArray[np.int16], int]]:
    """Say sentences.

    Args:
        sentences: What to say.
        scale: Length of the phones, relative to the voice's own.
        options: The program and its voice.

    Returns:
        Samples and sampling rate of each sentence.

    Raises:
        InputError: The program cannot be run, or fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder) / "sentences.txt"
        lines.write_text("".join(f"{sentence.capitalize()}.\n" for sentence in sentences), encoding="utf-8")
        command = [str(options.piper), "-m", str(options.model), "-i", str(lines), "-d", folder]
        command += ["--length-scale", str(scale), "--noise-w-scale", "1.0", "--sentence-silence", "0"]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except OSError as error:
            raise InputError(f"--piper {options.piper}: cannot be run ({error.strerror})") from error
        except subprocess.CalledProcessError as error:
            raise InputError(f"--piper {options.piper}: {error.stderr.strip().splitlines()[-1]}") from error
        files = sorted(Path(folder).glob("*.wav"), key=lambda path: int(path.stem))
        if len(files) != len(sentences):
            raise InputError(f"--piper {options.piper}: made {len(files)} recordings of {len(sentences)} sentences")
        return [_read(path) for path in files]


def trim_silence(samples: NDArray[np.int16], rate: int) -> NDArray[np.int16]:
    """Cut the silence off both ends, but for a small margin."""
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > _LOUD * np.abs(samples.astype(np.int32)).max())
    margin = int(_MARGIN * rate)
    return samples[max(loud[0] - margin, 0) : loud[-1] + margin]


def _read(path: Path) -> tuple[NDArray[np.int16], int]:
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16), file.getframerate()


def _write(path: Path, samples: NDArray[np.int16], rate: int) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())


if __name__ == "__main__":
    import tyro

    try:
        sys.exit(run(tyro.cli(Options)))
    except CdrlError as error:
        sys.exit(f"error: {error}")
