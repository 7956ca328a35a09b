"""The quantile of the newest scores of tokens or sentences, by which truncated objectives leave some of them out."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

Join = Callable[[Sequence[Tensor]], list[Tensor]]
"""What one process has of the micro-batches of a step -> what all processes have, in the order of the whole step."""


class RunningQuantile(nn.Module):
    """A quantile of the newest `window` scores, as of the steps before the one under way.

    Source: the loss dropper of Kang & Hashimoto, ACL 2020 (ddkang/loss_dropper at 12ea3b86): numpy's percentile, with
    linear interpolation between neighbours. Deviation: there it is taken anew only when `window` more scores have come,
    and then counts those of the current batch; here after every step, of the steps before it, so that splitting a step
    into micro-batches changes nothing. The scores are part of the state, and go into checkpoints.
    """

    scores: Tensor
    count: Tensor

    def __init__(self, window: int) -> None:
        """Keeps the newest `window` scores."""
        super().__init__()
        self.register_buffer("scores", torch.full((window,), torch.nan))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self._new: list[Tensor] = []

    @property
    def window(self) -> int:
        """How many scores are kept."""
        return len(self.scores)

    def threshold(self, *, fraction: float, min_count: int) -> Tensor:
        """The score, 0-dimensional, that a share `fraction` of those known exceeds.

        NaN where nothing is to be left out: before `min_count` scores are known, or for a fraction of 0.
        """
        quantile = self.scores.nanquantile(1 - fraction)  # the places that are still empty are NaN
        return quantile.where((self.count >= min_count) & (fraction > 0), torch.nan)

    def add(self, scores: Tensor) -> None:
        """Takes scores [n] of the step under way, in their order; they count from the next step on."""
        self._new.append(scores.detach().float())

    @torch.no_grad()
    def end_step(self, is_finite: Tensor | bool = True, join: Join = list) -> None:
        """Lets the scores of the step count, once those of several processes are joined.

        Args:
            is_finite: False for a step that was skipped: its scores are forgotten. A tensor is not waited for.
            join: of several processes that share a step, what all of them have seen.
        """
        if not self._new:
            return
        new = torch.cat(join(self._new))
        self._new.clear()
        counts = torch.as_tensor(is_finite, device=new.device)
        places = (torch.arange(len(new), device=new.device)[-self.window :] + self.count) % self.window
        self.scores[places] = new[-self.window :].where(counts, self.scores[places])
        self.count += len(new) * counts
