"""The editor: holds the models, and makes a job of a request."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2

from cdrl.errors import FaceError, UsageError
from cdrl.face.landmarks import BundleDetector
from cdrl.face.tracking import FaceTracker
from cdrl.manipulation.expression_change import ExpressionChange
from cdrl.manipulation.manipulator import Manipulator, reference_expression
from cdrl.manipulation.person import OBSERVED_SECONDS, SPEAKING_NEUTRAL_NOTE, Person, is_speaking
from cdrl.manipulation.personalization import OnnxTranslator, PersonalPrior
from cdrl.manipulation.prior import EmotionPrior, EnrollmentExample
from cdrl.media import Limits, VideoInfo, probe, read
from cdrl.pipeline.job import EditJob
from cdrl.pipeline.survey import Survey, find_person, survey_face
from cdrl.plan import EditPlan
from cdrl.provenance import models_used, renderer_used
from cdrl.rendering.neural import NeuralRenderer
from cdrl.request import RENDERERS, EditRequest

WARP, NEURAL = RENDERERS
DEFAULT_RENDERER = WARP
"""What renders a clip where a request names nothing; `cdrl live` takes the warp."""
PRIOR_ALONE, SHIPPED = "prior", "translator"
"""Names of models: none that adapts the prior, and the one that ships."""


def load_editor(prior: str | Path | None = None, model: str | Path | None = None) -> Editor:
    """Load the models; see `cdrl.load`."""
    # Stages run side by side; threads inside a small operation only get in their way.
    cv2.setNumThreads(1)
    path = None if prior is None else Path(prior)
    # The translator that ships was trained for the prior that ships.
    return Editor(EmotionPrior.load(path), model or (SHIPPED if path is None else PRIOR_ALONE), prior_file=path)


class Editor:
    """Holds what every edit needs: the emotion prior, and what adapts it to a person."""

    def __init__(self, prior: EmotionPrior, model: str | Path = PRIOR_ALONE, *, prior_file: Path | None = None) -> None:
        """Load the model.

        Args:
            prior: The fitted emotion prior.
            model: What adapts it to a person: `PRIOR_ALONE`, `SHIPPED`, or a file.
            prior_file: Where the prior was read from, for the record; None for the one that ships.
        """
        self.prior = prior
        model_file = None if model in (PRIOR_ALONE, SHIPPED) else Path(model)
        self._translator = None if model == PRIOR_ALONE else OnnxTranslator(prior, model_file)
        self._prior_file, self._model = prior_file, str(model)
        self._renderers: dict[str, NeuralRenderer] = {}
        self.models_used = models_used(prior_file, model_file, model != PRIOR_ALONE)

    def find_renderer(self, name: str | None) -> NeuralRenderer | None:
        """Return the neural renderer of an `EditRequest`'s name; None for the warp alone. Each is loaded once.

        Raises:
            ModelFileError: The file is missing, or is no renderer.
        """
        name = name or DEFAULT_RENDERER
        if name == WARP:
            return None
        if name not in self._renderers:
            renderer = NeuralRenderer(None if name == NEURAL else Path(name))
            renderer.load()
            self._renderers[name] = renderer
        return self._renderers[name]

    def edit(self, source: EditRequest | str | Path, *, limits: Limits | None = None, **fields: Any) -> EditJob:
        """Check a request and get its edit ready; `save` or `frames` of the result carry it out.

        Args:
            source: The request, or the video to edit.
            limits: What the files may hold.
            fields: Where a video is given, the other fields of its `EditRequest`, as in `emotion="happy"`.

        Raises:
            UsageError: The request makes no sense, names another prior or model than this editor was loaded with, or
                has a segment outside the clip.
            InputError: A file cannot be read, or the source is a photo.
            LimitError: A file is larger than the limits allow.
            FaceError: A file that is to show a face shows none.
        """
        request = source if isinstance(source, EditRequest) else EditRequest(Path(source), **fields)
        if request.prior not in (None, self._prior_file) or request.model not in (None, self._model):
            raise UsageError(
                f"{request.source}: the request names another prior or model than the editor was loaded with: load one "
                "with cdrl.load(request.prior, request.model)"
            )
        renderer = self.find_renderer(request.renderer)
        limits = limits or Limits()
        begin = time.perf_counter()
        info, survey = self._survey_source(request, limits)
        survey_seconds = time.perf_counter() - begin
        plan = request.fit_plan(info)
        manipulator = self.manipulator(plan, request.enroll, limits)
        models = (*self.models_used, *(() if renderer is None else (renderer_used(request.renderer_file),)))
        return EditJob(
            request, plan, info, manipulator, self.prior, survey, survey_seconds, models, limits, renderer
        )  # fmt: skip

    def manipulator(
        self,
        plan: EditPlan,
        enroll: Mapping[str, Path] | None = None,
        limits: Limits | None = None,
        reference: ExpressionChange | None = None,
    ) -> Manipulator:
        """Make what turns a plan's amounts into changes of expression.

        Args:
            plan: What is to be shown.
            enroll: Emotion → a photo or clip of the person who is edited, as in `EditRequest`.
            limits: What these files may hold.
            reference: What `expression_of` gives for the plan's reference, where that is known already.

        Raises:
            InputError: A file cannot be read.
            FaceError: A file shows no face.
        """
        limits = limits or Limits()
        if reference is None and plan.reference is not None:
            reference = self.expression_of(plan.reference, limits)
        seen = {name: self._survey_first(path, limits) for name, path in (enroll or {}).items()}
        neutral_info, neutral = seen.pop("neutral", (None, None))
        examples = [EnrollmentExample(name, person.mean_shape, info.photo) for name, (info, person) in seen.items()]
        manipulator = Manipulator(
            self.prior,
            plan,
            reference,
            PersonalPrior(self.prior, self._translator, examples) if self._translator or examples else None,
            None if neutral is None else neutral.mean_shape,
        )
        if neutral is not None and neutral_info is not None and neutral_info.photo and is_speaking(neutral):
            manipulator.remarks += (f"{neutral_info.path} {SPEAKING_NEUTRAL_NOTE}",)
        return manipulator

    def expression_of(self, reference: Path, limits: Limits) -> ExpressionChange:
        """Measure the expression in a clip or photo of anyone, against that person's own neutral shape."""
        return reference_expression(self._survey_first(reference, limits)[1], self.prior)

    def _survey_source(self, request: EditRequest, limits: Limits) -> tuple[VideoInfo, Survey | None]:
        """What the source is, and who is seen first; not looked for where nothing is changed."""
        if request.plan.changes_nothing:
            return probe(request.find_source(limits), limits), None
        with ExitStack() as stack:
            frames = stack.enter_context(read(request.find_source(limits), limits))
            request.fit_plan(frames.info)  # refused before the networks look at it
            part = request.fit_part(frames.info)
            if part is not None and part.skipped:
                frames = stack.enter_context(read(frames.info, limits, start=part.begin))
            tracker = FaceTracker(BundleDetector(), request.face)
            return frames.info, survey_face(frames, tracker, self.prior)

    def _survey_first(self, path: Path, limits: Limits) -> tuple[VideoInfo, Person]:
        """A clip or photo and its first person."""
        with read(path, limits, stop=OBSERVED_SECONDS) as frames:
            person = find_person(frames, BundleDetector(), self.prior)
        if person is None:
            raise FaceError(f"{path}: no face is found; choose a clip or photo that shows one from the front")
        return frames.info, person
