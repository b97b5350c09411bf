"""The options of every recipe, apart from the recipes, so that a wrong option is refused without waiting for torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from tyro.conf import FlagCreatePairsOff

RESEARCH_LICENSE = "CC-BY-NC-SA-4.0"
"""License of what is trained on recordings for research."""
DEFAULT_PRIOR_OUTPUT = Path("runs/prior.npz")
_CACHE = Path("runs/cache")


@dataclass(frozen=True)
class LoopOptions:
    """How long, how fast and where to train."""

    output: Path
    """Folder of the run: log.jsonl, tensorboard/, last.safetensors (to resume from) and best.safetensors."""
    steps: int
    """Steps of the optimizer."""
    learning_rate: float = 1e-3
    """Peak learning rate; it rises over the warmup steps and falls along a cosine to zero."""
    warmup: int = 100
    """Steps until the peak of the learning rate."""
    weight_decay: float = 0.05
    """Weight decay of AdamW, on weights of two dimensions or more."""
    average: float = 0.998
    """Decay of the moving average of the weights, which is validated and written; 0 turns it off."""
    validate_every: int = 500
    """Steps between two validations, each of which also saves the state."""
    betas: tuple[float, float] = (0.9, 0.99)
    """Decays of AdamW's moving averages of the gradient and of its square."""
    seed: int = 0
    """Seed of all random numbers."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto takes an accelerator where there is one."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Precision of the forward pass; auto takes bfloat16 where the hardware computes in it, else float32."""
    restart: bool = False
    """Start over where the folder holds a run; otherwise an interrupted run is resumed."""


@dataclass(frozen=True)
class ReleaseOptions:
    """Where the result goes."""

    publish: Path | None = None
    """Where the best checkpoint is copied, and entered into the list of model files."""
    overwrite: FlagCreatePairsOff[bool] = False
    """Replace the file that --publish names."""


@dataclass(frozen=True)
class ContentOptions:
    """Train the content representation on prepared data (`cdrl data prepare`)."""

    data: tuple[Path, ...]
    """Prepared folders."""
    split: str = "auto"
    """Split by person: auto, shipped, mead (the paper's), seeded, seeded:N, or a JSON file; see cdrl data check."""
    check_people: bool = True
    """Refuse people of different splits whose faces are those of one person; off for twins."""
    paper: FlagCreatePairsOff[bool] = False
    """Set loss, pairs, pictures, speech and optimizer as the paper has them; options that say otherwise are refused."""
    loop: LoopOptions = LoopOptions(Path("runs/content"), steps=800, learning_rate=2e-3)
    encoder: str = "landmarks"
    """Image encoder: landmarks, or iresnet50:FILE."""
    width: int = 96
    """Channels of the mapping."""
    dimensions: int = 16
    """Length of the content vector: a long one separates takes of the same words."""
    offsets: tuple[int, ...] = tuple(range(-4, 5))
    """Frames that the model sees, relative to the frame in question."""
    audio: bool = True
    """Let speech query the picture; without it a learned query is used alone."""
    loss: Literal["both", "infonce", "paper", "alignment"] = "both"
    """InfoNCE over moments, the paper's emotion-aware contrast, both, or alignment alone, without negatives."""
    pairs: Literal["any", "neutral"] = "any"
    """Train on takes of the same words in any two emotions, or on a neutral take with each other one."""
    temperature: float = 0.1
    """Temperature of InfoNCE."""
    mask_positives: bool = True
    """Take moments that may show the same content out of InfoNCE's negatives; off for comparison."""
    paper_weight: float = 20.0
    """Weight of the paper's loss beside InfoNCE."""
    people: int = 8
    """Synthetic people in a step, two pairs of takes each."""
    real: int = 4
    """Real clips in a step, each paired with an augmented copy of itself."""
    moments: int = 8
    """Moments of each pair."""
    audio_dropout: float = 0.3
    """Share of takes whose speech is removed."""
    audio_mismatch: float = 0.1
    """Share of takes that get the speech of another moment."""
    variants: int = 1
    """Augmented variants of each clip's pictures; 0 shows them as they are."""
    jitter: float = 0.2
    """Standard deviation of the log of a random gain on each channel of a take's maps: other people, other light."""
    cache: Path = _CACHE
    """Folder that keeps feature maps."""
    release: ReleaseOptions = ReleaseOptions()
    PAPER: ClassVar[Mapping[str, Any]] = {
        "loss": "paper", "pairs": "neutral", "audio": True, "offsets": (0,),
        "people": 4, "moments": 2, "real": 0,  # sixteen triples: four people, two pairs of takes of each
        "variants": 0, "jitter": 0.0, "audio_dropout": 0.0, "audio_mismatch": 0.0,
        "loop": {"learning_rate": 1e-5, "betas": (0.9, 0.999), "warmup": 0, "weight_decay": 0.0, "average": 0.0},
    }  # fmt: skip
    """The paper's own setting, see `use_paper_setting`."""


@dataclass(frozen=True)
class FaceOptions:
    """Which faces are learned from, and how a batch is made up of them."""

    data: tuple[Path, ...] = ()
    """Prepared folders (`cdrl data prepare`)."""
    split: str = "auto"
    """Split by person: auto, shipped, mead (the paper's), seeded, seeded:N, or a JSON file; see cdrl data check."""
    check_people: bool = True
    """Refuse people of different splits whose faces are those of one person; off for twins."""
    fer: Path | None = None
    """An .npz of gray faces as in FER-2013: image [n, h, h], emotion [n], split [n]."""
    stills: Path | None = None
    """A folder with stills.csv: path, emotion, person."""
    gray_fraction: float = 0.4
    """Fraction of a batch that are gray faces (--fer)."""
    synthetic_fraction: float = 0.2
    """Fraction of a batch that are synthetic faces."""
    described_fraction: float = 0.25
    """Fraction of a batch that are people seen in one emotion alone, or in an unknown one, without their label."""
    cache: Path = _CACHE
    """Folder that keeps measured landmarks and image features."""


@dataclass(frozen=True)
class EmotionOptions:
    """Train the emotion representation: prompts and one small network per emotion, on a frozen model."""

    faces: FaceOptions = FaceOptions()
    paper: FlagCreatePairsOff[bool] = False
    """Set the loss as the paper has it, the contrast alone, on plain pictures; options that say otherwise are
    refused."""
    loop: LoopOptions = LoopOptions(Path("runs/emotion"), steps=1200, validate_every=250, precision="float32")
    vlm: str = "embedded"
    """The vision-language model: embedded (the shipped one), a checkpoint of `cdrl train vlm`, or clip:FOLDER."""
    prompts: Literal["learned", "fixed"] = "learned"
    """Learned context before the written prompts, or the written prompts alone (for comparison)."""
    contrast: bool = True
    """Contrast between emotions; without it a face is only pulled to its own prompt (for comparison)."""
    hidden: int = 192
    """Width of the networks' outer layers."""
    middle: int = 64
    """Width of the networks' middle layer."""
    batch: int = 128
    """Pairs of faces in a step."""
    views: int = 4
    """Augmented views of each face, computed once."""
    consistency_weight: float = 1.0
    """Weight of the term that keeps the representation equal where only the content changes."""
    prior_weight: float = 1.0
    """Weight of the term that keeps the representation near what the frozen model tells from the plain picture."""
    language_weight: float = 0.5
    """Weight of the term that keeps prompts near the sentences about their emotion."""
    temperature: float = 0.07
    """Temperature of the contrast."""
    release: ReleaseOptions = ReleaseOptions()
    PAPER: ClassVar[Mapping[str, Any]] = {
        "prompts": "learned", "contrast": True, "temperature": 0.07, "views": 1,
        "consistency_weight": 0.0, "prior_weight": 0.0, "language_weight": 0.0,
        "faces": {"described_fraction": 0.0},  # the contrast sees labeled faces alone
    }  # fmt: skip
    """The paper's own setting, see `use_paper_setting`."""


@dataclass(frozen=True)
class VlmOptions:
    """Train the embedded vision-language model: an image tower against a frozen text encoder."""

    faces: FaceOptions = FaceOptions(gray_fraction=0.6, synthetic_fraction=0.12, described_fraction=0.15)
    loop: LoopOptions = LoopOptions(
        Path("runs/vlm"), steps=2400, learning_rate=6e-4, validate_every=300, precision="float32"
    )
    side: int = 96
    """Side of the tower's input in pixels."""
    batch: int = 64
    """Faces in a step."""
    descriptions_weight: float = 0.5
    """Weight of the contrast between faces and descriptions of emotions."""
    captions_weight: float = 0.5
    """Weight of the contrast between faces and captions."""
    classes_weight: float = 1.0
    """Weight of the cross-entropy over emotions."""
    smoothing: float = 0.1
    """Label smoothing of the cross-entropy."""
    temperature: float = 0.07
    """Temperature of all three losses."""
    frozen: int = 3
    """Blocks of the tower, from the first, that stay as ImageNet trained them."""
    pretrained: bool = True
    """Start from ImageNet's weights."""
    release: ReleaseOptions = ReleaseOptions()


@dataclass(frozen=True)
class SupervisionOptions:
    """What the two representations supervise, and how much it counts."""

    prior: Path | None = None
    """The fitted prior whose modes and shading are used; the shipped one by default."""
    content: Path | None = None
    """Content representation; the shipped one by default."""
    emotion: Path | None = None
    """Emotion representation; the shipped one by default."""
    fer: Path | None = None
    """Gray faces (.npz) that serve as references beside those of the clips."""
    content_weight: float = 70.0
    """Weight of the content consistency; 0 trains without it."""
    emotion_weight: float = 50.0
    """Weight of the emotion consistency; 0 trains without it, and without the contrast."""
    contrast_weight: float = 20.0
    """Weight of the emotion standing out among the others as clearly as in the references."""
    emotion_target: Literal["absolute", "difference"] = "absolute"
    """Compare the emotion of generated and reference frames as in the paper, or the change from the source to the
    generated frame with that from neutral faces to the references."""
    clips: int = 3
    """Supervised moments in a step."""
    length: int = 9
    """Frames of each moment."""
    synthetic_fraction: float = 0.34
    """Fraction of the moments that are of synthetic people."""
    references: int = 8
    """Reference faces of the emotion for each moment."""
    exclude: tuple[str, ...] = ()
    """People (DATASET/ACTOR) who are excluded."""

    @property
    def supervised(self) -> bool:
        """Whether any supervision is on."""
        return bool(self.content_weight or self.emotion_weight)


@dataclass(frozen=True)
class TranslatorOptions:
    """Train the translator on prepared data (`cdrl data prepare`)."""

    data: tuple[Path, ...]
    """Prepared folders."""
    split: str = "auto"
    """Split by person: auto, shipped, mead (the paper's), seeded, seeded:N, or a JSON file; see cdrl data check."""
    check_people: bool = True
    """Refuse people of different splits whose faces are those of one person; off for twins."""
    paper: FlagCreatePairsOff[bool] = False
    """Weigh the two representations as the paper does: content 10, emotion 50, nothing else of them; options that say
    otherwise are refused."""
    loop: LoopOptions = LoopOptions(
        Path("runs/translator"),
        steps=200,
        learning_rate=5e-3,
        warmup=30,
        weight_decay=0.0,
        average=0.98,
        validate_every=100,
    )
    supervision: SupervisionOptions = SupervisionOptions()
    own_weight: float = 1.0
    """Weight of what a person is observed to show."""
    prior_weight: float = 0.2
    """Weight of the fitted prior: on the squares of the changes, in units of a clear change of each kind."""
    magnitude_weight: float = 4.0
    """Weight of the growth of the offset: on the log of its size over the prior's, where it is larger. The
    representations reward every growth; another shape of the same size costs nothing."""
    cache: Path = _CACHE
    """Folder that keeps measured faces."""
    release: ReleaseOptions = ReleaseOptions()
    PAPER: ClassVar[Mapping[str, Any]] = {
        "supervision": {
            "content_weight": 10.0,
            "emotion_weight": 50.0,
            "contrast_weight": 0.0,
            "emotion_target": "absolute",
        }
    }
    """The paper's own setting, see `use_paper_setting`."""


@dataclass(frozen=True)
class SyncOptions:
    """Train the lip-sync network on prepared data (`cdrl data prepare`), real and synthetic people together."""

    data: tuple[Path, ...]
    """Prepared folders; clips without sound are left out."""
    split: str = "auto"
    """Split by person: auto, shipped, mead (the paper's), seeded, seeded:N, or a JSON file; see cdrl data check."""
    check_people: bool = True
    """Refuse people of different splits whose faces are those of one person; off for twins."""
    loop: LoopOptions = LoopOptions(
        Path("runs/sync"), steps=600, learning_rate=2e-3, warmup=50, average=0.995, validate_every=200
    )
    width: int = 96
    """Channels of the networks."""
    dimensions: int = 64
    """Length of an embedding."""
    clips: int = 24
    """Stretches in a step."""
    real: float = 0.5
    """Share of the stretches that is of real people."""
    moments: int = 40
    """Moments of a stretch, 25 a second."""
    ignore_radius: int = 1
    """Moments on each side of the right one that count neither as right nor as wrong."""
    temperature: float = 0.1
    """Temperature of InfoNCE."""
    scale_jitter: float = 0.25
    """Standard deviation of the log of the random factor on how much a mouth moves."""
    noise: float = 0.3
    """Largest deviation of the noise on the lips, and deviation of that on the sound, in units of their spread."""
    audio_dropout: float = 0.1
    """Share of the speech features that is replaced by their mean."""
    cache: Path = _CACHE
    """Folder for the cache of lips."""
    release: ReleaseOptions = ReleaseOptions()


@dataclass(frozen=True)
class SegmenterOptions:
    """Train the segmenter of occluders and background on prepared real clips (`cdrl data prepare`)."""

    data: tuple[Path, ...]
    """Prepared folders."""
    split: str = "auto"
    """Split by person: auto, shipped, mead (the paper's), seeded, seeded:N, or a JSON file; see cdrl data check."""
    check_people: bool = True
    """Refuse people of different splits whose faces are those of one person; off for twins."""
    loop: LoopOptions = LoopOptions(
        Path("runs/segmenter"), steps=5000, learning_rate=4e-3, validate_every=500, precision="float32"
    )
    batch: int = 24
    """Pictures in a step."""
    clean: float = 0.35
    """Share of the pictures without an occluder."""
    second: float = 0.2
    """Share of the others with two."""
    replaced: float = 0.7
    """Share of the pictures with an even background in which it is replaced by another one."""
    overlap_weight: float = 0.5
    """Weight of the overlap of whole masks (Dice), beside the pixels'."""
    glasses: tuple[str, ...] = ()
    """People (DATASET/ACTOR) who wear glasses: nothing is learned around their eyes but of glasses that are drawn."""
    cache: Path = _CACHE
    """Folder that keeps what was seen in the faces."""
    release: ReleaseOptions = ReleaseOptions()


@dataclass(frozen=True)
class RendererOptions:
    """Train the neural renderer: what a warp cannot know of a face with another expression."""

    data: tuple[Path, ...]
    """Prepared folders."""
    split: str = "auto"
    """Split by person: auto, shipped, mead (the paper's), seeded, seeded:N, or a JSON file; see cdrl data check."""
    check_people: bool = True
    """Refuse people of different splits whose faces are those of one person; off for twins."""
    loop: LoopOptions = LoopOptions(
        Path("runs/renderer"), steps=2000, learning_rate=5e-4, betas=(0.5, 0.99), weight_decay=0.0, average=0.995
    )
    start: Path | None = None
    """A checkpoint of another run, from whose network this one starts; from nothing by default."""
    supervision: SupervisionOptions = SupervisionOptions(
        content_weight=10.0, emotion_weight=20.0, contrast_weight=1.0, clips=1, synthetic_fraction=0.0
    )
    widths: tuple[int, ...] = (24, 40, 64, 96)
    """Channels at 1/2, 1/4, ... of the picture's side, multiples of 8: with more it learns more and runs slower."""
    pairs: int = 3
    """Re-enactments in a step, of two consecutive frames each."""
    edits: int = 2
    """Edits in a step, of two consecutive frames each."""
    synthetic: float = 0.0
    """Share of both that are of synthetic people."""
    pixel_weight: float = 2.0
    """Weight of the pixels' difference from the real frame, more around mouth, lids and brows."""
    perceptual_weight: float = 3.0
    """Weight of the difference in maps of two frozen networks (EfficientNet-lite0's, and the landmark network's)."""
    texture_weight: float = 60.0
    """Weight of having as much fine detail everywhere as the real frame: what is drawn on average is blurred."""
    adversarial_weight: float = 0.5
    """Weight of looking real to a network that learns to tell patches of rendered faces from real ones."""
    temporal_weight: float = 5.0
    """Weight of changing from frame to frame as the real frames do, and in edits as the warped ones do."""
    residual_weight: float = 1.0
    """Weight of the residual's size in edits: what looks real already stays as it is."""
    cache: Path = _CACHE
    """Folder that keeps measured faces."""
    release: ReleaseOptions = ReleaseOptions()


RecipeOptions = (
    ContentOptions | EmotionOptions | VlmOptions | TranslatorOptions | SyncOptions | SegmenterOptions | RendererOptions
)
"""Options of a recipe that trains a network."""


@dataclass(frozen=True)
class PriorOptions:
    """Fit the emotion prior."""

    data: Path
    """Folder with clips.csv (columns path, actor, emotion) and the clips it names."""
    output: Path = DEFAULT_PRIOR_OUTPUT
    """Where the prior is written; it is entered into the list of model files beside it, manifest.json."""
    overwrite: FlagCreatePairsOff[bool] = False
    """Replace an existing file."""
    cache: Path = Path("runs/prior")
    """Folder that keeps what was measured in each clip, so that a second fit takes seconds."""
    exclude: str = ""
    """People to exclude, separated by commas; `each` writes one prior per person, without that person, beside OUTPUT
    as prior_without_PERSON.npz."""
    license: str = RESEARCH_LICENSE
    """SPDX identifier of the license under which the fitted file may be used: that of the data, as a rule."""
    validate: bool = True
    """Print the leave-one-person-out validation."""
