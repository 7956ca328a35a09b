"""The two loss classes of the tutorial that this project started from, for loops that have logits."""

from functools import partial

from torch import Tensor, nn

from mt_trainer.objectives.formulas.priors import smoothing_prior
from mt_trainer.objectives.formulas.smoothing import kl_label_smoothing, label_smoothing
from mt_trainer.objectives.logit_statistics import Statistic, logit_statistics
from mt_trainer.objectives.objective import TokenFunction
from mt_trainer.objectives.token_inputs import Constants, TokenInputs


class _MeanOverTokens(nn.Module):
    prior: Tensor

    def __init__(self, function: TokenFunction, vocab_size: int, smoothing: float, pad_id: int) -> None:
        super().__init__()
        if not 0 <= smoothing < 1:
            raise ValueError(f"smoothing {smoothing} is outside 0 <= smoothing < 1")
        self.function = function
        self.pad_id = pad_id
        prior = smoothing_prior("torch", vocab_size=vocab_size, pad_id=pad_id)
        self.register_buffer("prior", prior, persistent=False)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The mean over targets that are not padding, in nats; zero with a graph where all are.

        Args:
            logits: [..., V].
            targets: [...] int64, without BOS.
        """
        labels = targets.reshape(-1)
        mask = labels != self.pad_id
        statistics = logit_statistics(
            logits.reshape(-1, logits.size(-1)),
            TokenInputs(labels.where(mask, 0)),
            constants=Constants(prior=self.prior),
            needs={Statistic.PRIOR_LOGIT},
        )
        return self.function(statistics).where(mask, 0).sum() / mask.sum().clamp(min=1)


class LabelSmoothingCrossEntropy(_MeanOverTokens):
    """Cross-entropy against (1 - smoothing) onehot + smoothing / V, as `torch.nn.CrossEntropyLoss(label_smoothing)`."""

    def __init__(self, vocab_size: int, *, smoothing: float = 0.1, pad_id: int = 0) -> None:
        super().__init__(partial(label_smoothing, epsilon=smoothing), vocab_size, smoothing, pad_id)


class LabelSmoothingLoss(_MeanOverTokens):
    """The KL form: sum_v q_v (log q_v - log p_v), q = 1 - smoothing at the target and smoothing / V elsewhere.

    Kept as it was, with its defect: q sums to 1 - smoothing / V. It is therefore not equivalent to
    `LabelSmoothingCrossEntropy`: the target's mass is smaller by smoothing / V, and the value is lower by the
    constant sum_v -q_v log q_v (1.36 nats for V = 32,000 and smoothing 0.1). Prefer the other class.
    """

    def __init__(self, vocab_size: int, *, smoothing: float = 0.1, pad_id: int = 0) -> None:
        function = partial(kl_label_smoothing, epsilon=smoothing, vocab_size=vocab_size)
        super().__init__(function, vocab_size, smoothing, pad_id)
