"""Section `objective`: what is minimised. Each variant's formula stands in `mt_trainer.objectives.per_token`."""

from typing import Annotated, Literal

from pydantic import Field

from mt_trainer.config.section import Section, required, setting


class CrossEntropyConfig(Section):
    """Negative log-likelihood of the reference."""

    name: Literal["cross_entropy"] = required("Plain cross-entropy.")


class LabelSmoothingConfig(Section):
    """Cross-entropy against (1 - epsilon) of the reference plus epsilon of a uniform prior."""

    name: Literal["label_smoothing"] = required("Label smoothing.")
    epsilon: float = setting(0.1, "Probability mass taken from the reference.", ge=0.0, lt=1.0)
    convention: Literal["torch", "fairseq", "no_pad"] = setting(
        "torch",
        "Where the mass goes: `torch` to all V pieces, `fairseq` to the V-1 others, "
        "`no_pad` to the V-2 others without padding.",
    )


class TaiLrConfig(Section):
    """TaiLr (Ji et al., ICLR 2023): tokens the model finds improbable count less."""

    name: Literal["tailr"] = required("Total-variation guided weights.")
    gamma: float = setting(
        0.1, "Trade-off: 0 is maximum likelihood, 1 weights by the probability itself.", ge=0.0, le=1.0
    )
    min_weight: float = setting(
        0.3, "Floor of the token weight, so that training from scratch can start.", ge=0.0, le=1.0
    )
    epsilon: float = setting(0.1, "Label smoothing beside it (torch convention, not weighted).", ge=0.0, lt=1.0)


ObjectiveConfig = Annotated[CrossEntropyConfig | LabelSmoothingConfig | TaiLrConfig, Field(discriminator="name")]
