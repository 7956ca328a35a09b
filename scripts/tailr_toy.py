"""TaiLr in one dimension: a Gaussian fitted to a mixture of two, as in the first figure of Ji et al. (ICLR 2023).

    python scripts/tailr_toy.py --out runs/tailr_toy

The target is 0.8 N(1, 0.5^2) + 0.2 N(5, 0.4^2), as recovered from the published picture. Maximum likelihood (KLD)
covers both humps; total variation distance (TVD) keeps to the larger one. TaiLr, with the density as p and no floor,
comes close to the latter from the former's solution, if gamma is neither too large nor too small. Prints a table and
writes tailr_toy.png; takes about half a minute.

Shapes: R fits side by side, G points of the grid.
"""

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from figures import BLACK, BLUE, GREEN, ORANGE, VERMILION, new_figure, require_matplotlib
from mt_trainer.objectives.formulas.token_weights import tailr
from mt_trainer.objectives.logit_statistics import LogitStatistics, Statistic
from mt_trainer.objectives.token_inputs import Constants, TokenInputs

SPACING = 0.01
GRID = torch.arange(-12, 16, SPACING, dtype=torch.float64)
"""Where integrals are taken: beyond it every density here is below 1e-14."""

GAMMAS = tuple(round(10 ** (exponent / 4), 7) for exponent in range(-20, 1))
"""1e-5 to 1, four to a decade."""


@dataclass(frozen=True)
class Gaussian:
    """N(mean, std^2)."""

    mean: float
    std: float

    def __str__(self) -> str:
        return f"N({self.mean:.3g}, {self.std:.3g}²)"


LARGE, SMALL = Gaussian(1, 0.5), Gaussian(5, 0.4)
MAXIMUM_LIKELIHOOD = Gaussian(1.8, math.sqrt(0.8 * (0.25 + 0.64) + 0.2 * (0.16 + 10.24)))
"""The solution for KLD: a Gaussian with the mean and variance of the target."""

STARTS = {"KLD solution": MAXIMUM_LIKELIHOOD, "larger hump": LARGE, "smaller hump": SMALL}

Loss = Callable[[Tensor], Tensor]
"""log densities [R, G] of the fits on the grid -> losses [R]."""


def log_density(mean: Tensor, std: Tensor) -> Tensor:
    """log N(x; mean, std^2) on the grid: mean [R], std [R] -> [R, G]."""
    z = (GRID - mean.unsqueeze(-1)) / std.unsqueeze(-1)
    return -z.square() / 2 - std.log().unsqueeze(-1) - math.log(2 * math.pi) / 2


def density(gaussian: Gaussian) -> Tensor:
    """Its density on the grid, [G]."""
    mean, std = (torch.tensor([value], dtype=torch.float64) for value in (gaussian.mean, gaussian.std))
    return log_density(mean, std).exp().squeeze(0)


TARGET = 0.8 * density(LARGE) + 0.2 * density(SMALL)


def integral(values: Tensor) -> Tensor:
    """Over the grid: [..., G] -> [...]."""
    return values.sum(dim=-1) * SPACING


def kld_loss(log_p: Tensor) -> Tensor:
    """The cross-entropy of the target against p: KLD plus the target's entropy."""
    return integral(-TARGET * log_p)


def tvd_loss(log_p: Tensor) -> Tensor:
    """Half the integral of |target - p|."""
    return integral((TARGET - log_p.exp()).abs()) / 2


def tailr_loss(log_p: Tensor, *, gamma: float) -> Tensor:
    """The objective of training itself, expected under the target: the density stands where p_y stands there."""
    statistics = LogitStatistics(
        {Statistic.TARGET_LOGIT: log_p, Statistic.LOGSUMEXP: torch.zeros_like(log_p)},
        TokenInputs(labels=torch.zeros_like(log_p, dtype=torch.int64)),
        Constants(),
    )
    return integral(TARGET * tailr(statistics, gamma=gamma, min_weight=0.0, epsilon=0.0))


def fit(loss: Loss, starts: Sequence[Gaussian], *, num_steps: int = 1000, peak_lr: float = 0.1) -> list[Gaussian]:
    """Where Adam ends from each start, on mean and log std, with the rate falling to 0 along a cosine."""
    mean = torch.tensor([start.mean for start in starts], dtype=torch.float64, requires_grad=True)
    log_std = torch.tensor([math.log(start.std) for start in starts], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([mean, log_std], lr=peak_lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_steps)
    for _ in range(num_steps):
        optimizer.zero_grad()
        loss(log_density(mean, log_std.exp())).sum().backward()
        optimizer.step()
        schedule.step()
    return [Gaussian(*pair) for pair in zip(mean.tolist(), log_std.exp().tolist(), strict=True)]


def fit_tailr(gamma: float, starts: Sequence[Gaussian]) -> list[Gaussian]:
    """Where TaiLr ends from each start."""
    return fit(lambda log_p: tailr_loss(log_p, gamma=gamma), starts)


def tvd(gaussian: Gaussian) -> float:
    """Its total variation distance to the target."""
    return float(integral((TARGET - density(gaussian)).abs()) / 2)


def draw(fits: dict[str, Gaussian], sweep: dict[str, list[Gaussian]], path: Path) -> None:
    """Writes the figure.

    Args:
        fits: by objective, for the left side; at most four.
        sweep: where TaiLr ends by the name of its start, a fit for each of `GAMMAS`.
        path: of the PNG.
    """
    figure, axes = new_figure(1, 2, width=10, height=3.9)
    left, right = axes[0]
    left.fill_between(GRID, TARGET, color="0.85", label=f"target: 0.8 {LARGE} + 0.2 {SMALL}")
    styles = ((ORANGE, "--"), (BLACK, ":"), (BLUE, "-"), (VERMILION, "-."))
    for (name, gaussian), (colour, line) in zip(fits.items(), styles, strict=True):
        label = f"{name}: {gaussian}"
        left.plot(GRID, density(gaussian), color=colour, linestyle=line, linewidth=1.8, label=label)
    left.set(xlim=(-3, 9), ylim=(0, 1.8), xlabel="x", ylabel="density", title="One Gaussian fitted to two")
    left.legend(frameon=False, fontsize=8.5)

    right.axhline(tvd(fits["TVD"]), color="0.5", linewidth=0.9, linestyle=(0, (4, 3)))
    right.annotate("least possible", (0.98, tvd(fits["TVD"]) - 0.055), ha="right", fontsize=8.5, color="0.35")
    looks = ((BLUE, "o", 7.5, 0.03), (GREEN, "s", 4, -0.06), (VERMILION, "^", 5, 0.03))
    for (name, ends), (colour, marker, size, offset) in zip(sweep.items(), looks, strict=True):
        distances = [tvd(end) for end in ends]
        right.plot(GAMMAS, distances, color=colour, marker=marker, markersize=size, linewidth=1.4)
        right.annotate(f"from the {name}, {STARTS[name]}", (GAMMAS[0], distances[0] + offset), fontsize=9, color=colour)
    right.set(xscale="log", ylim=(0, 0.9), xlabel="gamma", ylabel="TVD to the target", title="How far off TaiLr ends")
    figure.savefig(path, dpi=110)


def main() -> None:
    """Fit, print the table, write the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of tailr_toy.png; made if absent")
    folder: Path = parser.parse_args().out
    require_matplotlib("tailr_toy.py")
    folder.mkdir(parents=True, exist_ok=True)

    starts = list(STARTS.values())
    sweep = {gamma: fit_tailr(gamma, starts) for gamma in GAMMAS}
    rows = {"KLD": fit(kld_loss, starts), "TVD": fit(tvd_loss, starts)}
    rows |= {f"TaiLr, gamma {gamma:g}": sweep[gamma] for gamma in GAMMAS[::4]}
    print(f"{'objective':<24}{'start':<16}{'mean':>8}{'std':>8}{'TVD':>9}")
    for name, ends in rows.items():
        for start, end in zip(starts, ends, strict=True):
            print(f"{name:<24}{start!s:<16}{end.mean:>8.3f}{end.std:>8.3f}{tvd(end):>9.4f}")

    shown = ("KLD", "TVD", "TaiLr, gamma 0.01", "TaiLr, gamma 1")
    by_start = {name: [ends[i] for ends in sweep.values()] for i, name in enumerate(STARTS)}
    draw({name: rows[name][0] for name in shown}, by_start, folder / "tailr_toy.png")
    print(f"\nfigure: {folder / 'tailr_toy.png'}")


if __name__ == "__main__":
    main()
