"""Section `training`: how large a step is, how long it goes on, what is kept."""

from typing import Literal

from mt_trainer.config.section import Section, setting


class TrainingConfig(Section):
    """The run. A limit that is reached is a normal end; at least one limit must be given."""

    batch_tokens: int = setting(
        8192,
        "Target positions in one step, over all micro-batches and processes: rows of data.max_length, filled with "
        "whole pairs.",
        unit="tokens",
        ge=1,
    )
    accumulation: int = setting(
        1,
        "Micro-batches that each process splits its part of a step into; changes memory, not the result. On a CPU they "
        "are computed side by side, as many as there are threads.",
        unit="micro-batches",
        ge=1,
    )
    recompute_activations: bool = setting(
        False,
        "Keep only the inputs of each encoder and decoder layer, and go through the layer again for its gradients: "
        "less memory, more time, the same result.",
    )
    max_steps: int | None = setting(100_000, "Stop after this many steps.", unit="steps", ge=1)
    max_epochs: int | None = setting(None, "Stop after this many passes over the corpus.", unit="epochs", ge=1)
    max_tokens: int | None = setting(None, "Stop after this many target tokens.", unit="tokens", ge=1)
    max_seconds: float | None = setting(
        None, "Stop after this much time in training, validations included, over all resumptions.", unit="seconds", gt=0
    )
    log_every_steps: int = setting(50, "Steps between log lines.", unit="steps", ge=1)
    validate_every_steps: int = setting(1000, "Steps between validations; each saves a checkpoint.", unit="steps", ge=1)
    select_by: Literal["bleu", "nll"] = setting(
        "bleu", "What makes a checkpoint the best: highest BLEU or lowest NLL on dev."
    )
    patience: int | None = setting(
        None, "Stop after this many validations without a new best; null for never.", unit="validations", ge=1
    )
    keep_checkpoints: int = setting(3, "Newest checkpoints kept, besides the best.", unit="checkpoints", ge=1)
    average_checkpoints: int = setting(
        0,
        "At the end, average this many of the newest checkpoints and take the result if it is the best on dev; "
        "0 for off.",
        unit="checkpoints",
        ge=0,
    )
    max_skipped_steps: int = setting(
        10,
        "Steps whose loss or gradient is not finite that a run bears. Each is skipped: nothing that learns changes. "
        "One more is a divergence.",
        unit="steps",
        ge=0,
        le=1000,
    )
    max_ppl_ratio: float | None = setting(
        20.0,
        "It is a divergence, too, if the perplexity since the last log line, or on dev, is more than this many times "
        "what it was at the last validation; null for never.",
        gt=1.0,
    )
    on_divergence: Literal["stop", "roll_back"] = setting(
        "stop",
        "Stop with exit status 3, or go back to the last validated checkpoint and leave out the data of the steps that "
        "diverged.",
    )
    max_roll_backs: int = setting(
        3, "How often a run goes back; then the next divergence stops it.", unit="times", ge=1, le=1000
    )
    ema_decay: float = setting(
        0.0, "Decay of the exponential moving average of the weights; 0 for off.", ge=0.0, lt=1.0
    )
