"""The ``training:`` section of a recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Lt

from tightbound.errors import RecipeError
from tightbound.registry import Factory, Nested


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How a model is trained. Intervals count from the first step, and the last step always logs, validates and saves.

    Args:
        epochs: length in passes over the training split; or
        steps: length in batches. Exactly one of the two is not None.
        batch_size: images a batch, over all processes together. The last partial batch of an epoch is left out.
        optimizer: which, with its options.
        schedule: of the learning rate; None holds it constant.
        clip_norm: the gradient is scaled down to this norm where it is longer; None for not at all.
        ema: decay of the moving average of the parameters, which is then what is validated and kept; None for none.
        seed: of epoch order, pixel noise and posterior noise.
        initialize: which layers' weights are scaled by the first images before the first step: auto, the
            weight-normalized ones, as the authors of weight normalization do, and all of a ladder; data, all; none.
        precision: of the network bodies; auto is bf16 where the processor has fast bf16, else float32.
        compile: whether the step is compiled; auto compiles where the run is long enough to repay it.
        cuda_graph: whether a GPU replays the step as one CUDA graph, compiled or not; auto does on every GPU, in a
            run of one process.
        sharding: of several processes: none, each has all weights; full, each has a part of every weight, its gradient
            and the optimizer's state, and all of the weights within a step alone. Such a step is not compiled.
        channels_last: whether convolutions run in channels_last layout.
        device: where; auto is the first of cuda, mps, cpu that is there.
        log_every: steps between rows of metrics.jsonl.
        validate_every: epochs between validations.
        validation_samples: K of the importance bound at each validation; 0 for none, then the ELBO selects.
        validation_images: how many images of the validation split that bound is computed on; None for all.
        picture_every: epochs between pictures; None for none.
        checkpoint_every: steps between checkpoints; None for none by steps.
        checkpoint_minutes: minutes between checkpoints; None for none by time.
        keep_checkpoints: how many of them are kept, beside the best.
        early_stopping: validations without a new best after which training ends; None for never.
        max_nonfinite: skipped steps in a row after which training stops with an error.
        tensorboard: whether TensorBoard events are written.

    Raises:
        RecipeError: both lengths, or none.
    """

    epochs: Annotated[float, Gt(0)] | None = 50.0
    steps: Annotated[int, Gt(0)] | None = None
    batch_size: Annotated[int, Ge(1)] = 128
    optimizer: Annotated[Factory, Nested("optimizer")] = Factory("optimizer", "adam")
    schedule: Annotated[Factory, Nested("schedule")] | None = None
    clip_norm: Annotated[float, Gt(0)] | None = None
    ema: Annotated[float, Gt(0), Lt(1)] | None = None
    seed: Annotated[int, Ge(0)] = 0
    initialize: Literal["auto", "data", "none"] = "auto"
    precision: Literal["auto", "float32", "bf16", "float64"] = "auto"
    compile: Literal["auto"] | bool = "auto"
    cuda_graph: Literal["auto"] | bool = "auto"
    sharding: Literal["none", "full"] = "none"
    channels_last: bool = True
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    log_every: Annotated[int, Ge(1)] = 50
    validate_every: Annotated[float, Gt(0)] = 1.0
    validation_samples: Annotated[int, Ge(0)] = 0
    validation_images: Annotated[int, Ge(1)] | None = None
    picture_every: Annotated[float, Gt(0)] | None = 10.0
    checkpoint_every: Annotated[int, Ge(1)] | None = None
    checkpoint_minutes: Annotated[float, Gt(0)] | None = 5.0
    keep_checkpoints: Annotated[int, Ge(1)] = 2
    early_stopping: Annotated[int, Ge(1)] | None = None
    max_nonfinite: Annotated[int, Ge(1)] = 20
    tensorboard: bool = True

    def __post_init__(self) -> None:
        if self.epochs is not None and self.steps is not None:
            raise RecipeError(
                f"training: expected one of epochs and steps; got epochs = {self.epochs:g} and steps = {self.steps}",
                hint="to count in steps, set training.epochs=null",
            )
        if self.epochs is None and self.steps is None:
            raise RecipeError("training: expected one of epochs and steps; got neither", hint="set training.epochs")
