"""The toy experiment of the TaiLr paper: what each objective makes of a mixture of two Gaussians."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tailr_toy import (
    GRID,
    LARGE,
    MAXIMUM_LIKELIHOOD,
    SMALL,
    TARGET,
    Gaussian,
    fit,
    fit_tailr,
    integral,
    kld_loss,
    log_density,
    tailr_loss,
    tvd,
    tvd_loss,
)

ROOT = Path(__file__).resolve().parents[3]
KLD_STD = 1.6709278859364338


@pytest.mark.parametrize(
    ("gaussian", "distance"),
    [
        (Gaussian(1.8, KLD_STD), 0.5169357678788792),
        (Gaussian(1.0508245299736179, 0.6189654068893667), 0.1999454968710668),
        (Gaussian(0.903, 0.577), 0.199986855590262),
        (LARGE, 0.19999824898146595),
        (SMALL, 0.7999929959258638),
    ],
)
def test_tvd_agrees_with_numbers_computed_elsewhere(gaussian: Gaussian, distance: float) -> None:
    """The optima for KLD and for TVD, the TVD curve of the published figure, and the humps themselves."""
    assert tvd(gaussian) == pytest.approx(distance, abs=2e-5)


@pytest.mark.parametrize(
    ("gaussian", "divergence"),
    [(Gaussian(1.8, KLD_STD), 0.7507638307880373), (Gaussian(1.595, 1.538), 0.7669147650505225)],
)
def test_kld_agrees_with_numbers_computed_elsewhere(gaussian: Gaussian, divergence: float) -> None:
    """The optimum, and the KLD curve of the published figure, which is not quite there."""
    log_p = log_density(*(torch.tensor([value], dtype=torch.float64) for value in (gaussian.mean, gaussian.std)))
    entropy = float(-integral(torch.special.xlogy(TARGET, TARGET)))
    assert float(kld_loss(log_p)) - entropy == pytest.approx(divergence, abs=1e-9)


def test_maximum_likelihood_has_the_moments_of_the_target() -> None:
    assert float(integral(TARGET)) == pytest.approx(1.0, abs=1e-12)
    assert float(integral(TARGET * GRID)) == pytest.approx(MAXIMUM_LIKELIHOOD.mean, abs=1e-12)
    assert MAXIMUM_LIKELIHOOD.std == pytest.approx(KLD_STD, abs=1e-12)


def test_likelihood_covers_both_humps_and_tvd_keeps_to_the_larger() -> None:
    starts = [MAXIMUM_LIKELIHOOD, SMALL]
    for kld_end in fit(kld_loss, starts):
        assert kld_end.mean == pytest.approx(1.8, abs=0.01)
        assert kld_end.std == pytest.approx(KLD_STD, abs=0.01)
    for tvd_end in fit(tvd_loss, starts):
        assert tvd(tvd_end) < 0.2001
        assert 0.8 < tvd_end.mean < 1.2


def test_tailr_comes_from_the_kld_solution_to_the_larger_hump() -> None:
    (end,) = fit_tailr(0.01, [MAXIMUM_LIKELIHOOD])
    assert tvd(end) < 0.205
    assert end.mean == pytest.approx(1.0, abs=0.01)


def test_large_gamma_falls_short() -> None:
    """It ends on the larger hump, and too narrow, so that more than twice the least distance is left."""
    (end,) = fit_tailr(1.0, [MAXIMUM_LIKELIHOOD])
    assert end.mean == pytest.approx(1.0, abs=0.01)
    assert end.std < 0.3
    assert tvd(end) > 0.4


def test_tiny_gamma_stays_at_the_start() -> None:
    starts = [MAXIMUM_LIKELIHOOD, LARGE, SMALL]
    for start, end in zip(starts, fit_tailr(1e-5, starts), strict=True):
        assert end.mean == pytest.approx(start.mean, abs=0.005)
        assert end.std == pytest.approx(start.std, abs=0.005)


def test_gamma_0_is_maximum_likelihood_and_the_weight_is_held_constant() -> None:
    log_p = log_density(torch.tensor([0.5, 3.0]).double(), torch.tensor([1.0, 2.0]).double())
    assert tailr_loss(log_p, gamma=0.0).tolist() == pytest.approx(kld_loss(log_p).tolist(), rel=1e-14)

    mean = torch.tensor([0.5], dtype=torch.float64, requires_grad=True)
    gamma, std = 0.3, 0.7
    tailr_loss(log_density(mean, torch.full_like(mean, std)), gamma=gamma).sum().backward()
    p = torch.exp(-(((GRID - 0.5) / std) ** 2) / 2) / (std * math.sqrt(2 * math.pi))
    # d(-log p)/d mean = -(x - mean) / std^2, weighted with p / (gamma + (1 - gamma) p); p <= 1 here.
    expected = integral(TARGET * p / (gamma + (1 - gamma) * p) * -(GRID - 0.5) / std**2)
    assert mean.grad is not None
    assert float(mean.grad) == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.slow
def test_program_prints_the_table_and_draws(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "tailr_toy.py"), "--out", "toy"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["objective", "start", "mean", "std", "TVD"]
    assert len(lines) == 1 + 3 * 8 + 2
    assert (tmp_path / "toy" / "tailr_toy.png").read_bytes().startswith(b"\x89PNG")


def test_a_missing_matplotlib_is_named_before_any_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    import figures
    import tailr_toy

    monkeypatch.setattr(figures, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["tailr_toy.py", "--out", str(tmp_path / "toy")])
    with pytest.raises(SystemExit) as stopped:
        tailr_toy.main()
    assert stopped.value.code == 2
    assert "pip install 'mt_trainer[plots]'" in capsys.readouterr().err
    assert not (tmp_path / "toy").exists()
