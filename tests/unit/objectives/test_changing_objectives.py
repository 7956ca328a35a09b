"""TranslationLoss with objectives that change with the step, leave out tokens, or compare two distributions."""

from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor
from torch.nn import functional as F

from mt_trainer.config.objective import ObjectiveConfig
from mt_trainer.objectives import LossSums, TranslationLoss, build_objective
from mt_trainer.objectives.sentences import previous_targets
from mt_trainer.objectives.token_inputs import TokenInputs

V = 13
CPU = torch.device("cpu")


def loss_of(**settings: Any) -> TranslationLoss:
    config = TypeAdapter(ObjectiveConfig).validate_python(settings)
    counts = torch.arange(V).flip(0) * 3
    objective = build_objective(config, vocab_size=V, pad_id=0, target_counts=counts, source_counts=counts.flip(0))
    return TranslationLoss(V, 0, objective=objective)


def make_inputs(num_sentences: int = 4, length: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    """Hidden states and a weight that learn, and labels [B, T-1] whose rows end with padding."""
    generator = torch.Generator().manual_seed(3)
    hidden = torch.randn(num_sentences * length, 6, generator=generator).requires_grad_()
    weight = torch.randn(V, 6, generator=generator).requires_grad_()
    labels = torch.randint(4, V, (num_sentences, length), generator=generator)
    for row in range(num_sentences):
        labels[row, length - row % 3 :] = 0
    return hidden, weight, labels


SINGLE: list[dict[str, Any]] = [
    {"name": "label_smoothing", "prior": "unigram", "prior_temperature": 2.0},
    {"name": "label_smoothing", "prior": "target_side", "convention": "fairseq", "z_loss": 0.1},
    {"name": "graduated_label_smoothing"},
    {"name": "confidence_penalty", "threshold": 2.0},
    {"name": "confidence_penalty", "prior": "unigram"},
    {"name": "mixce"},
    {"name": "focal", "gamma": 2.0},
    {"name": "anti_focal"},
    {"name": "error_norm_truncation", "threshold": 1.0},
    {"name": "error_norm_truncation", "fraction": 0.3, "window": 12, "min_count": 12},
    {"name": "loss_truncation", "fraction": 0.4, "window": 8, "min_count": 4},
    {"name": "brier"},
    {"name": "spherical"},
    {"name": "unlikelihood"},
]


@pytest.mark.parametrize("settings", SINGLE, ids=lambda settings: settings["name"])
def test_sums_are_forward_times_its_tokens(settings: dict[str, Any]) -> None:
    """In two steps: in the second one the truncated objectives leave out some tokens."""
    hidden, weight, labels = make_inputs()
    target_ids, flat = F.pad(labels, (1, 0), value=2), labels.flatten()
    rows = torch.arange(len(labels)).repeat_interleave(labels.size(1))
    losses = [loss_of(**settings) for _ in range(2)]
    for step in (1, 2):
        for loss in losses:
            loss.start_step(step)
        means = losses[0]((hidden @ weight.t()).view(*labels.shape, V), target_ids)
        ids, id_weights = previous_targets(flat, rows.where(flat != 0, -1))
        inputs = TokenInputs(flat, ids=ids, id_weights=id_weights)
        sums = losses[1].sums(hidden, weight, inputs, sentences=rows, chunk_rows=7)
        for loss in losses:
            loss.end_step()
        num_tokens = int(means["num_tokens"])
        assert sums.loss.item() == pytest.approx(means["loss"].item() * num_tokens, rel=1e-5)
        assert sums.nll.item() == pytest.approx(means["nll_loss"].item() * num_tokens, rel=1e-5)
        torch.testing.assert_close(
            torch.autograd.grad(sums.loss, (hidden, weight)),
            torch.autograd.grad(means["loss"] * num_tokens, (hidden, weight)),
            rtol=1e-4,
            atol=1e-5,
        )
        if losses[0].truncator is not None:
            assert sums.weight is not None
            assert (int(sums.weight) < num_tokens) == (step == 2)


@pytest.mark.parametrize("settings", [*SINGLE, {"name": "emo"}], ids=lambda settings: settings["name"])
@pytest.mark.parametrize("num_tokens", [0, 3])
def test_a_batch_of_padding_gives_zeros_with_a_graph(settings: dict[str, Any], num_tokens: int) -> None:
    loss = loss_of(**settings)
    hidden, weight = torch.randn(num_tokens, 6, requires_grad=True), torch.randn(V, 6, requires_grad=True)
    labels = torch.zeros(num_tokens, dtype=torch.int64)
    ids, id_weights = previous_targets(labels, labels)
    inputs = TokenInputs(labels, ids=ids, id_weights=id_weights)
    sums = loss.sums(hidden, weight, inputs, sentences=labels, with_diagnostics=True)
    loss.end_step()
    assert all(value.item() == 0 for value in sums if value is not None)
    for gradient in torch.autograd.grad(sums.loss, (hidden, weight)):
        assert gradient.eq(0).all()
    if loss.truncator is not None:
        assert loss.truncator.quantile.count.item() == 0


def test_true_nll_does_not_depend_on_the_objective() -> None:
    hidden, weight, labels = make_inputs()
    target_ids = F.pad(labels, (1, 0), value=2)
    logits = (hidden @ weight.t()).view(*labels.shape, V)
    values = {loss_of(**settings)(logits, target_ids)["nll_loss"].item() for settings in SINGLE}
    assert values == {TranslationLoss(V)(logits, target_ids)["nll_loss"].item()}


def of_tokens(loss: TranslationLoss, nll: list[float], sentences: list[int] | None = None) -> LossSums:
    """Sums over tokens of two pieces, whose labels have the given nll."""
    p = (-torch.tensor(nll)).exp()
    hidden = torch.stack([p.log(), torch.log1p(-p)], dim=1).requires_grad_()
    labels = torch.full((len(nll),), 4)
    weight = torch.zeros(V, 2)
    weight[4, 0] = weight[5, 1] = 1
    weight[[i for i in range(V) if i not in (4, 5)]] = 1000  # a logit far below: no chance
    numbers = None if sentences is None else torch.tensor(sentences)
    sums = loss.sums(hidden, weight, labels, sentences=numbers)
    sums.loss.backward()
    return sums


def test_truncated_tokens_by_hand() -> None:
    """Of 1, 2, 3, 4 half lies above 2.5, which then decides; all tokens count in nll and the number of tokens."""
    loss = loss_of(name="loss_truncation", fraction=0.5, window=4, min_count=4)
    first = of_tokens(loss, [1, 2, 3, 4], [0, 1, 2, 3])
    assert first.loss.item() == pytest.approx(10, rel=1e-5)
    assert (first.weight.item(), first.num_at_floor.item()) == (4, 0)  # type: ignore[union-attr]
    loss.end_step()
    loss.start_step(2)
    # a sentence of 2.4 and 3 has the mean 2.7, one of 5 and 0.1 less than 2.55
    second = of_tokens(loss, [2.4, 3, 5, 0.05, 0.5], [0, 0, 1, 1, 2])
    assert second.nll.item() == pytest.approx(10.95, rel=1e-4)
    assert second.loss.item() == pytest.approx(0.5, rel=1e-4)
    assert second.num_tokens.item() == 5
    assert (second.weight.item(), second.num_at_floor.item()) == (1, 4)  # type: ignore[union-attr]
    loss.end_step()
    assert loss.truncator is not None
    assert sorted(loss.truncator.quantile.scores.tolist()) == pytest.approx([0.5, 2.525, 2.7, 4], rel=1e-4)


def test_evaluation_leaves_nothing_out_and_learns_nothing() -> None:
    loss = loss_of(name="loss_truncation", fraction=0.5, window=4, min_count=4)
    of_tokens(loss, [1, 2, 3, 4], [0, 1, 2, 3])
    loss.end_step()
    before = {name: tensor.clone() for name, tensor in loss.state_dict().items()}
    loss.eval()
    sums = of_tokens(loss, [3, 4], [0, 1])
    loss.end_step()
    assert sums.loss.item() == pytest.approx(7, rel=1e-4)
    assert sums.weight is not None
    assert sums.weight.item() == 2
    assert before.keys() == {"truncator.quantile.scores", "truncator.quantile.count"}
    for name, tensor in loss.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_micro_batches_of_a_step_are_judged_alike() -> None:
    whole, split = (loss_of(name="loss_truncation", fraction=0.5, window=6, min_count=4) for _ in range(2))
    for loss in (whole, split):
        of_tokens(loss, [1, 2, 3, 4], [0, 1, 2, 3])
        loss.end_step()
        loss.start_step(2)
    sums = of_tokens(whole, [9, 8, 7, 2, 1], [0, 1, 2, 3, 4])
    parts = [of_tokens(split, [9, 8, 7], [0, 1, 2]), of_tokens(split, [2, 1], [0, 1])]
    assert sums.loss.item() == pytest.approx(sum(part.loss.item() for part in parts), rel=1e-5)
    assert sums.loss.item() == pytest.approx(3, rel=1e-4)
    for loss in (whole, split):
        loss.end_step()
    for name, tensor in whole.state_dict().items():
        torch.testing.assert_close(split.state_dict()[name], tensor, msg=name)


def test_sentences_must_be_told() -> None:
    with pytest.raises(ValueError, match="give `sentences`"):
        of_tokens(loss_of(name="loss_truncation"), [1, 2])


def test_scores_that_are_not_numbers_are_not_hidden() -> None:
    loss = loss_of(name="loss_truncation", fraction=0.5, window=4, min_count=2)
    of_tokens(loss, [1, 2], [0, 1])
    loss.end_step()
    loss.start_step(2)
    hidden, weight = torch.tensor([[torch.nan], [1.0]]), torch.ones(V, 1)
    assert loss.sums(hidden, weight, torch.tensor([4, 5]), sentences=torch.tensor([0, 1])).loss.isnan()


def test_an_objective_that_begins_later_learns_before() -> None:
    loss = loss_of(name="loss_truncation", fraction=0.5, window=4, min_count=4, start_step=1)
    assert of_tokens(loss, [1, 2, 3, 4], [0, 1, 2, 3]).num_at_floor == 0
    loss.end_step()
    loss.start_step(1)
    assert of_tokens(loss, [5, 6], [0, 1]).num_at_floor == 0
    loss.end_step()
    loss.start_step(2)
    assert of_tokens(loss, [4.4, 4.6], [0, 1]).num_at_floor == 1  # of 3, 4, 5, 6


def test_numbers_follow_their_schedule() -> None:
    loss = loss_of(
        name="label_smoothing",
        epsilon={"schedule": "linear", "start": 0.0, "end": 0.2, "start_step": 0, "end_step": 10},
    )
    hidden, weight, labels = make_inputs()
    logits, flat = hidden @ weight.t(), labels.flatten()
    for step, epsilon in ((1, 0.02), (5, 0.1), (20, 0.2)):
        loss.start_step(step)
        assert loss.current.parameters == {"epsilon": pytest.approx(epsilon)}
        expected = F.cross_entropy(logits, flat, ignore_index=0, label_smoothing=epsilon, reduction="sum")
        assert loss.sums(hidden, weight, flat).loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert "linear from 0 to 0.2" in loss.objective.formula


def test_stages_follow_each_other_and_scores_of_one_do_not_decide_in_another() -> None:
    truncation = {"name": "loss_truncation", "fraction": 0.5, "window": 4, "min_count": 2}
    by_error = {"name": "error_norm_truncation", "fraction": 0.5, "window": 4, "min_count": 2}
    loss = loss_of(
        name="stages",
        stages=(
            {"until_step": 1, "objective": {"name": "cross_entropy"}},
            {"until_step": 3, "objective": truncation},
            {"until_step": 4, "objective": by_error},
            {"objective": {"name": "r_drop"}},
        ),
    )
    counts = []
    for step in range(1, 5):
        loss.start_step(step)
        assert loss.current.parameters["stage"] == min(step, 2) + (step == 4)
        sums = of_tokens(loss, [1, 2, 3], [0, 1, 2])
        counts.append(None if sums.num_at_floor is None else sums.num_at_floor.item())
        loss.end_step()
    assert counts == [None, 0, 2, 0]
    loss.start_step(5)
    assert loss.state_dict() == {}


def test_the_state_of_a_truncated_objective_comes_back() -> None:
    settings: dict[str, Any] = {"name": "loss_truncation", "fraction": 0.5, "window": 4, "min_count": 2}
    straight, resumed = loss_of(**settings), loss_of(**settings)
    of_tokens(straight, [1, 2, 3], [0, 1, 2])
    straight.end_step()
    resumed.start_step(1)
    resumed.load_state_dict(straight.state_dict())
    for loss in (straight, resumed):
        loss.start_step(2)
    sums = [of_tokens(loss, [1.5, 2.5], [0, 1]).loss.item() for loss in (straight, resumed)]
    assert sums[0] == sums[1] == pytest.approx(1.5, rel=1e-4)


@pytest.mark.parametrize("divergence", ["forward_kl", "js"])
def test_pair_sums_by_the_definition(divergence: str) -> None:
    hidden, weight, labels = make_inputs()
    generator = torch.Generator().manual_seed(5)
    other, other_weight = torch.randn(20, 3, generator=generator), torch.randn(V, 3, generator=generator)
    flat = labels.flatten()
    mask = flat != 0
    loss = loss_of(name="distillation", teacher="runs/teacher", divergence=divergence, mix=0.3)
    sums = loss.pair_sums(hidden, weight, other, other_weight, flat, with_diagnostics=True, chunk_rows=6)

    z, t = (hidden @ weight.t())[mask], (other @ other_weight.t())[mask].softmax(-1)
    p = z.softmax(-1)
    nll = F.cross_entropy(z, flat[mask], reduction="sum")
    if divergence == "forward_kl":
        apart = -(t * p.log()).sum()
    else:
        m = 0.1 * t + 0.9 * p
        apart = 0.9 * (p * (p / m).log()).sum() + 0.1 * (t * (t / m).log()).sum()
    expected = 0.7 * nll + 0.3 * apart
    assert sums.loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert sums.nll.item() == pytest.approx(nll.item(), rel=1e-5)
    assert sums.num_tokens.item() == mask.sum().item()
    assert sums.num_correct.item() == (z.argmax(-1) == flat[mask]).sum().item()
    assert sums.entropy is not None
    assert sums.confidence is not None
    assert sums.entropy.item() == pytest.approx(-(p * p.log()).sum().item(), rel=1e-5)
    assert sums.confidence.item() == pytest.approx(p.max(-1).values.sum().item(), rel=1e-5)
    assert (sums.weight, sums.num_at_floor) == (None, None)
    torch.testing.assert_close(
        torch.autograd.grad(sums.loss, (hidden, weight)),
        torch.autograd.grad(expected, (hidden, weight)),
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize("variant", [1, 2])
def test_the_output_projection_serves_as_embedding(variant: int) -> None:
    """By the definition of EMO; a row of zeros, such as that of padding, is a vector of zeros."""
    hidden, weight, labels = make_inputs()
    with torch.no_grad():
        weight[0] = 0
    flat = labels.flatten()
    mask = flat != 0
    sums = loss_of(name="emo", variant=variant, adaptive=False).sums(hidden, weight, flat)
    z = (hidden @ weight.t())[mask]
    embedding = F.normalize(weight.detach(), dim=-1)
    distance = 1 - ((z.softmax(-1) @ embedding) * embedding[flat[mask]]).sum(-1)
    nll = F.cross_entropy(z, flat[mask], reduction="none")
    if variant == 1:
        expected = (0.5 * (nll + (nll / distance).detach() * distance)).sum()
    else:
        expected = (distance + (distance / nll).detach() * nll).sum()
    assert sums.loss.item() == pytest.approx(expected.item(), rel=1e-4)
    torch.testing.assert_close(
        torch.autograd.grad(sums.loss, (hidden, weight)),
        torch.autograd.grad(expected, (hidden, weight)),
        rtol=1e-3,
        atol=1e-5,
    )


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"name": "r_drop"}, "a second distribution"),
        ({"name": "distillation", "teacher": "runs/teacher"}, "a second distribution"),
        ({"name": "sparse_distillation", "teacher": "runs/teacher"}, "a second distribution"),
        ({"name": "tailr", "weight_from": "eval"}, "a pass without dropout"),
        ({"name": "emo"}, "the output projection"),
    ],
)
def test_logits_alone_are_not_enough_for_some(settings: dict[str, Any], told: str) -> None:
    hidden, weight, labels = make_inputs()
    with pytest.raises(ValueError, match=told):
        loss_of(**settings)((hidden @ weight.t()).view(*labels.shape, V), F.pad(labels, (1, 0), value=2))


def test_sums_and_pair_sums_are_for_their_own_objectives() -> None:
    hidden, weight, labels = make_inputs()
    flat = labels.flatten()
    with pytest.raises(ValueError, match="call `pair_sums`"):
        loss_of(name="r_drop").sums(hidden, weight, flat)
    with pytest.raises(ValueError, match="call `sums`"):
        loss_of(name="cross_entropy").pair_sums(hidden, weight, hidden, weight, flat)
    with pytest.raises(ValueError, match="`ids`"):
        loss_of(name="unlikelihood").sums(hidden, weight, flat)
