"""`cdrl edit`: change the emotion of a video."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import FlagCreatePairsOff, Positional, arg

from cdrl.cli.arguments import is_blend
from cdrl.cli.consent import ConsentGiven, require_consent
from cdrl.cli.edit_options import TimedEmotionOptions
from cdrl.cli.progress import progress_bar
from cdrl.errors import OutputError, OutputExistsError, UsageError, one_line
from cdrl.files import atomic_write, sidecar_path
from cdrl.media.encoding import CONTAINERS, EncoderOptions, check_layer, codec_of, container_of
from cdrl.media.limits import Limits
from cdrl.media.numbering import NumberPattern

if TYPE_CHECKING:
    from cdrl.media import ImageSequence
    from cdrl.provenance import Credentials
    from cdrl.request import EditRequest

BESIDE_SOURCE = "(default: beside SOURCE, as in talk_happy.mp4)"


@dataclass(frozen=True)
class Provenance:
    """What the result says about its making; see docs/responsible-use.md."""

    no_provenance: FlagCreatePairsOff[bool] = False
    """Write neither labels nor a sidecar that say the video was edited; that they are left out is reported."""
    c2pa_certificate: Annotated[Path | None, arg(metavar="PEM", help_behavior_hint="")] = None
    """Sign the result (C2PA, MP4 and MOV) as the owner of this certificate chain."""
    c2pa_key: Annotated[Path | None, arg(metavar="PEM", help_behavior_hint="")] = None
    """The private key of the certificate."""
    c2pa_tsa: Annotated[str | None, arg(metavar="URL", help_behavior_hint="")] = None
    """A time stamp authority to ask; without one no network is reached."""

    def __post_init__(self) -> None:
        if (self.c2pa_certificate is None) != (self.c2pa_key is None):
            raise UsageError("signing takes both: give --c2pa-certificate and --c2pa-key")
        if self.c2pa_tsa is not None and self.c2pa_certificate is None:
            raise UsageError("--c2pa-tsa stamps a signature: give --c2pa-certificate and --c2pa-key, too")
        if self.no_provenance and self.c2pa_certificate is not None:
            raise UsageError("--no-provenance and --c2pa-certificate are both given: choose one")

    def make_credentials(self) -> Credentials | None:
        """Who signs; None for nobody."""
        if self.c2pa_certificate is None or self.c2pa_key is None:
            return None
        from cdrl.provenance.signing import Credentials

        return Credentials(self.c2pa_certificate, self.c2pa_key, self.c2pa_tsa)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Change the emotion a talking head shows and keep its speech.

    Give one of --emotion, --reference, --segments and --project. The sound is copied untouched, and so is everything
    around the head up to the encoding.
    """

    source: Annotated[Positional[Path | None], arg(metavar="SOURCE", help_behavior_hint="")] = None
    """The video to edit, or numbered pictures (shot_####.png, or their folder); it is never changed. With --project it
    may be left out, or stands in for the project's."""
    output: Annotated[Path | None, arg(aliases=["-o"], metavar="FILE", help_behavior_hint=BESIDE_SOURCE)] = None
    """Where to write the result; its ending chooses the container."""
    overwrite: FlagCreatePairsOff[bool] = False
    """Replace the files that are to be written where they exist."""
    preview: Annotated[Path | None, arg(metavar="PICTURE", help_behavior_hint="")] = None
    """Also write a contact sheet, source above edited."""
    side_by_side: FlagCreatePairsOff[bool] = False
    """Show the source beside the edited video in the result."""
    layer: FlagCreatePairsOff[bool] = False
    """Show only what the edit changes, on transparent ground, to be put over the source: with --profile prores or
    sequence."""
    report: Annotated[Path | None, arg(metavar="JSON", help_behavior_hint="")] = None
    """Also write what was done: frames edited, skipped and why, lip tracking, time per stage."""
    project: Annotated[Path | None, arg(metavar="JSON", help_behavior_hint="")] = None
    """Carry out a project that --save-project wrote; it stands for SOURCE, and for all that says what to show."""
    save_project: Annotated[Path | None, arg(metavar="JSON", help_behavior_hint="")] = None
    """Also write what was asked for, to be carried out again, changed or sent."""
    dry_run: FlagCreatePairsOff[bool] = False
    """Check what is asked for and the files it names, say what would be done, and write nothing."""
    i_have_consent: ConsentGiven = False
    shown: TimedEmotionOptions = field(default_factory=TimedEmotionOptions)
    provenance: Provenance = field(default_factory=Provenance)
    encoder: EncoderOptions = field(default_factory=EncoderOptions)
    limits: Limits = field(default_factory=Limits)


def run(options: Options) -> int:
    """Edit, write, and say what a user must know; warnings go to stderr, one line each."""
    request = _make_request(options)  # before the networks load, so that a slip of the fingers is told at once
    options = replace(options, encoder=options.encoder.with_profile(request.profile))
    if options.layer:
        check_layer(options.encoder, side_by_side=options.side_by_side)
    source = request.find_source(options.limits)
    output = options.output or _free_output(request, source, options)
    if options.encoder.is_sequence:
        output = _pictures_output(output, source, options)
    _check_extra_outputs(options, output, request)
    _spare_pictures(source, output, options)
    if options.dry_run:
        from cdrl.cli.dry_run import describe_edit

        print("\n".join(describe_edit(request, output, options)))
        return 0
    codec_of(options.encoder, container_of(output), output)  # before the models load
    require_consent(options.i_have_consent)

    import cdrl  # loads the networks' runtime
    from cdrl.media.outputs import check_output
    from cdrl.pipeline.job import OutputOptions

    if not options.encoder.is_sequence:
        check_output(output, Path(os.path.realpath(output)), request.source, options.overwrite)
    job = cdrl.load(request.prior, request.model).edit(request, limits=options.limits)
    output_options = OutputOptions(
        options.overwrite,
        options.encoder,
        options.preview,
        options.side_by_side,
        options.layer,
        measure_lips=options.report is not None,  # a second look at every frame, only for who wants to read it
        provenance=not options.provenance.no_provenance,
        c2pa=options.provenance.make_credentials(),
    )
    with progress_bar("editing") as progress:
        report = job.save(output, output_options, progress=progress)
    for warning in report.warnings:
        print("cdrl: warning:", one_line(warning), file=sys.stderr)
    if options.report is not None:
        _write_report(options.report, report.to_json())
    if options.save_project is not None:
        from cdrl.project import write_project

        asked = options.encoder.profile
        write_project(request if asked == "auto" else replace(request, profile=asked), options.save_project)
    print(one_line(report.summary()))
    return 0


def _free_output(request: EditRequest, found: Path | ImageSequence, options: Options) -> Path:
    """A name beside the source for a result that was given none; `_choose_ending` says in which container.

    talk.mp4 → talk_happy.mp4, talk_happy-sad.mp4, talk_like_NAME.mp4 (a reference), talk_edited.mp4 (segments). One
    that is taken is left alone, which is said: then it is the first free one of talk_happy_2.mp4, talk_happy_3.mp4, ...
    Of pictures shot_0001.png, ... it is shot_happy.mp4; pictures are written into a folder talk_happy.
    """
    from cdrl.media.opening import check_path

    source = request.source
    if isinstance(found, Path):
        check_path(source, options.limits)
    name = source.stem if isinstance(found, Path) else found.pattern.name
    ending = "" if options.encoder.is_sequence else _choose_ending(found, options)
    layer = "_layer" if options.layer else ""
    place = source if source.name not in ("", "..") else source.resolve()  # the current folder, or the one above
    wanted = place.with_name(f"{name}_{request.label}{layer}{ending}")
    if not os.access(wanted.absolute().parent, os.W_OK):
        raise OutputError(f"{wanted}: its folder cannot be written to; say with -o where the result goes")
    if options.overwrite or not _is_taken(wanted):
        return wanted
    others = (wanted.with_name(f"{wanted.name.removesuffix(ending)}_{number}{ending}") for number in count(2))
    output = next(other for other in others if not _is_taken(other))
    print("cdrl: note:", one_line(f"{wanted} exists already, so the result is {output}"), file=sys.stderr)
    return output


def _choose_ending(source: Path | ImageSequence, options: Options) -> str:
    """The ending of a source where a result can be written so, else that of the profile.

    MOV of 10 bits becomes MP4 in profiles for playing: as MOV it would be HEVC, which not every browser plays.
    """
    encoder, settings = options.encoder, options.encoder.settings
    ending = source.suffix if isinstance(source, Path) else ""
    other = (settings.suffixes or (".mp4",))[0]
    if ending.lower() not in (settings.suffixes or CONTAINERS):
        return other
    is_for_playing = settings.codec is None and encoder.codec == "auto" and settings.pixel_format == "auto"
    if ending.lower() == ".mov" and is_for_playing:
        from cdrl.media import probe

        return other if probe(source, options.limits).is_deep else ending
    return ending


def _pictures_output(output: Path, source: Path | ImageSequence, options: Options) -> Path:
    """The pattern of the pictures that are to be written. Raises UsageError and OutputError as the edit would."""
    from cdrl.media.picture_writing import check_pictures_output, output_pattern

    sequence = None if isinstance(source, Path) else source
    pattern = output_pattern(output, sequence)
    check_pictures_output(pattern, sequence, options.overwrite)
    return pattern.path


def _is_taken(path: Path) -> bool:
    return path.exists() or path.is_symlink() or sidecar_path(path).exists()


def _make_request(options: Options) -> EditRequest:
    """What the options ask for, from the project file where one is named. Raises UsageError, naming all that lacks."""
    if options.project is not None:
        if given := list(options.shown.given):
            flag = given[0].removesuffix("_time").replace("_", "-")
            raise UsageError(f"--project and --{flag} are both given: drop one, or change the project file")
        from cdrl.project import read_project

        request = read_project(options.project)
        return request if options.source is None else request.with_source(options.source)
    targets = "--emotion (-e), --reference, --segments or --project"
    if options.source is None:
        more = "" if options.shown.has_target else f", and one of {targets}"
        raise UsageError(f"missing: SOURCE, the video to edit{more}; see cdrl edit --help")
    if options.shown.has_target:
        return options.shown.request(options.source)
    name = str(options.source)
    if not options.source.exists() and is_blend(name):
        raise UsageError(f"{name!r} looks like an emotion: write cdrl edit SOURCE -e {name}")
    raise UsageError(f"nothing is asked for: give {targets}; see cdrl edit --help")


PICTURES = (".png", ".jpg", ".jpeg", ".webp")


def _check_extra_outputs(options: Options, output: Path, request: EditRequest) -> None:
    """Refuse names for the report, preview and project that cannot be written or that would hit another file of ours.

    Done before the work, not after a long film has been edited.
    """
    if options.preview is not None and options.preview.suffix.lower() not in PICTURES:
        raise UsageError(f"--preview {options.preview} is no picture: end its name in {', '.join(PICTURES)}")
    taken = {"the source": request.source, "the reference": request.reference, "the output": output}
    taken |= {"--project": options.project} | {f"--enroll {name}": path for name, path in request.enroll.items()}
    taken["the output's sidecar"] = sidecar_path(output)
    written = NumberPattern.parse(output) if options.encoder.is_sequence else None
    for read in request.inputs[1:]:
        if read.resolve() == output.resolve() or (written is not None and written.holds(read)):
            raise UsageError(f"-o {output} is to be written and {read} is read: give the output another name")
    extra = {"--preview": options.preview, "--report": options.report, "--save-project": options.save_project}
    for flag, path in extra.items():
        if path is None:
            continue
        for what, other in taken.items():
            if other is not None and path.resolve() == other.resolve():
                raise UsageError(f"{flag} {path} is {what}: give it a name of its own")
        taken[flag] = path
        if path.is_dir():
            raise OutputError(f"{flag} {path} is a folder: give the name of a file in it")
        if path.exists() and not options.overwrite:
            raise OutputExistsError(f"{flag} {path} exists already: choose another name or add --overwrite")
        if not path.parent.is_dir():
            raise OutputError(f"{flag} {path}: there is no folder {path.parent}; make it first")
        if not os.access(path.parent, os.W_OK):
            raise OutputError(f"{flag} {path}: the folder {path.parent} cannot be written to; choose another one")


def _spare_pictures(source: Path | ImageSequence, output: Path, options: Options) -> None:
    """Refuse to write over a picture of the source, or over one of the result."""
    extra = {"--preview": options.preview, "--report": options.report, "--save-project": options.save_project}
    written = NumberPattern.parse(output) if options.encoder.is_sequence else None
    for flag, path in {"-o": output, **extra}.items():
        if not isinstance(source, Path) and path is not None and source.holds(path):
            raise UsageError(f"{flag} {path} is a picture of the source: give it a name of its own")
    for flag, path in extra.items():
        if written is not None and path is not None and written.holds(path):
            raise UsageError(f"{flag} {path} is a picture of the output: give it a name of its own")


def _write_report(path: Path, content: dict[str, Any]) -> None:
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    try:
        atomic_write(path, [text.encode("utf-8", "replace")])
    except OutputError as error:
        raise type(error)(f"{error}; the video itself was written") from error
