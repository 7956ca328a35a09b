"""Which tokens a truncated objective leaves out. Shapes: N tokens."""

import torch
from torch import Tensor, nn

from mt_trainer.objectives.logit_statistics import LogitStatistics
from mt_trainer.objectives.objective import Truncation
from mt_trainer.objectives.running_quantile import RunningQuantile
from mt_trainer.objectives.sentences import sentence_means


class Truncator(nn.Module):
    """Leaves out the tokens or sentences whose score is among the worst, as judged by those of the steps before.

    Attributes:
        truncation: what is left out.
        quantile: of the scores.
    """

    def __init__(self, truncation: Truncation) -> None:
        super().__init__()
        self.truncation = truncation
        self.quantile = RunningQuantile(truncation.window)

    @torch.no_grad()
    def kept(self, statistics: LogitStatistics, mask: Tensor, sentences: Tensor | None) -> Tensor:
        """Which tokens count, bool [N]; their scores are taken note of, for the steps after this one.

        Args:
            statistics: of N tokens.
            mask: bool [N], True where there is a token.
            sentences: int64 [N] from 0 to N - 1, the sentence of each token.

        Raises:
            ValueError: sentences are left out and not given.
        """
        self.quantile.to(mask.device)
        truncation = self.truncation
        threshold = self.quantile.threshold(fraction=truncation.fraction, min_count=truncation.min_count)
        scores = truncation.score(statistics)
        if truncation.unit == "token":
            self.quantile.add(scores[mask])
        elif sentences is None:
            raise ValueError("this objective leaves out sentences: give `sentences`")
        else:
            means, counts = sentence_means(scores, sentences, mask)
            self.quantile.add(means[counts > 0])
            scores = means[sentences]
        # Nothing reaches a threshold of NaN; and a score of NaN is not hidden by leaving it out.
        return mask & ~(scores >= threshold)


def truncator_for(truncation: Truncation | None, before: Truncator | None) -> Truncator | None:
    """What leaves out tokens from now on: it goes on from the scores before, where these are scores of the same."""
    if truncation is None:
        return None
    if before is None or _kind(before.truncation) != _kind(truncation):
        return Truncator(truncation)
    before.truncation = truncation
    return before


def _kind(truncation: Truncation) -> tuple[object, ...]:
    return truncation.unit, truncation.score, truncation.window
