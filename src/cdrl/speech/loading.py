"""Loads a speech encoder by its specification; each brings its own libraries, which are imported only then."""

from __future__ import annotations

from cdrl.errors import UsageError
from cdrl.speech.features import SpeechEncoder


def load_speech_encoder(spec: str = "whisper", threads: int = 1, local_files_only: bool = False) -> SpeechEncoder:
    """Load the encoder that a specification names.

    Args:
        spec: "whisper", "xlsr:FOLDER_OR_HUB_ID", or "mel" (which needs no torch).
        threads: Threads of torch, which counts them for the whole process.
        local_files_only: Never ask the hub for XLSR.

    Raises:
        UsageError: The specification names no encoder.
        ModelFileError: A model file is missing or wrong.
    """
    kind, _, source = spec.partition(":")
    if kind == "mel" and not source:
        from cdrl.speech.mel import MelEncoder  # noqa: PLC0415 - each brings its own libraries

        return MelEncoder()
    if kind == "whisper" and not source:
        from cdrl.speech.whisper import WhisperEncoder  # noqa: PLC0415

        return WhisperEncoder.load(threads)
    if kind == "xlsr" and source:
        from cdrl.speech.xlsr import XlsrEncoder  # noqa: PLC0415

        return XlsrEncoder.load(source, threads=threads, local_files_only=local_files_only)
    raise UsageError(f"no speech encoder {spec!r}: choose whisper, xlsr:FOLDER (or a hub's id), or mel")
