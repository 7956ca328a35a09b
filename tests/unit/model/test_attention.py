"""Attention: masks and weights by hand, and torch's own multi-head attention as the reference."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mt_trainer.model.attention import (
    AttentionMask,
    CrossAttention,
    KeyValueCache,
    SelfAttention,
    attend,
    segment_mask,
)


def test_mask_of_two_segments_and_padding() -> None:
    segments = torch.tensor([[1, 1, 2, 0]])
    own = [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    assert segment_mask(segments, segments, causal=False)[0, 0].int().tolist() == own
    past = [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    assert segment_mask(segments, segments, causal=True)[0, 0].int().tolist() == past


def test_mask_of_a_target_over_a_source() -> None:
    mask = segment_mask(torch.tensor([[1, 2, 2]]), torch.tensor([[1, 1, 2, 0]]), causal=False)
    assert mask.shape == (1, 1, 3, 4)
    assert mask[0, 0].int().tolist() == [[1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0]]


def test_attention_by_hand() -> None:
    # K = 4, so products are halved: (2 ln 3) / 2 = ln 3 against 0 gives weights 3/4 and 1/4.
    query = torch.tensor([2 * math.log(3), 0.0, 0.0, 0.0]).view(1, 1, 1, 4)
    key = torch.eye(4)[:2].view(1, 1, 2, 4)
    value = torch.tensor([[0.0, 1, 2, 3], [4, 5, 6, 7]]).view(1, 1, 2, 4)
    out = attend(query, key, value, AttentionMask.of(torch.ones(1, 1, 1, 2, dtype=torch.bool)), dropout=0.0)
    torch.testing.assert_close(out.flatten(), torch.tensor([1.0, 2.0, 3.0, 4.0]))


def test_masked_keys_do_not_count() -> None:
    value = torch.tensor([[1.0], [5.0], [100.0]]).view(1, 1, 3, 1)
    mask = torch.tensor([True, True, False]).view(1, 1, 1, 3)
    out = attend(torch.zeros(1, 1, 1, 1), torch.randn(1, 1, 3, 1), value, AttentionMask.of(mask), dropout=0.0)
    assert out.item() == pytest.approx(3.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_query_without_permitted_keys_gives_zero_and_finite_gradients(dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    query, key, value = (torch.randn(2, 2, 3, 4, dtype=dtype, requires_grad=True) for _ in range(3))
    mask = torch.ones(2, 1, 3, 3, dtype=torch.bool)
    mask[0, :, 1] = False
    mask[1] = False
    out = attend(query, key, value, AttentionMask.of(mask), dropout=0.0)
    assert out[0, :, 1].abs().max().item() == 0
    assert out[1].abs().max().item() == 0
    assert out[0, :, 0].abs().max().item() > 0
    out.square().sum().backward()
    for tensor in (query, key, value):
        assert tensor.grad is not None
        assert torch.isfinite(tensor.grad).all()
        assert tensor.grad[1].abs().max().item() == 0


@pytest.mark.parametrize("keys", [1, 3])
def test_no_kernel_meets_a_query_without_permitted_keys(monkeypatch: pytest.MonkeyPatch, keys: int) -> None:
    """Such a query is let see all keys, the mask of every other query is as it was."""
    met: list[Tensor] = []
    built_in = F.scaled_dot_product_attention

    def recording(*inputs: Tensor, attn_mask: Tensor, dropout_p: float) -> Tensor:
        met.append(attn_mask)
        return built_in(*inputs, attn_mask=attn_mask, dropout_p=dropout_p)

    monkeypatch.setattr(F, "scaled_dot_product_attention", recording)
    mask = torch.tensor([[True] * keys, [False] * keys, [True] + [False] * (keys - 1)])[None, None]
    query, key = torch.randn(1, 2, 3, 4), torch.randn(1, 2, keys, 4)
    attend(query, key, key, AttentionMask.of(mask), dropout=0.0)
    assert met[0][0, 0].tolist() == [[True] * keys, [True] * keys, [True] + [False] * (keys - 1)]
    assert mask[0, 0, 1].tolist() == [False] * keys


def test_bfloat16_is_close_to_float32_forward_and_backward() -> None:
    torch.manual_seed(1)
    exact = [torch.randn(2, 4, 6, 8, requires_grad=True) for _ in range(3)]
    rough = [tensor.detach().bfloat16().requires_grad_() for tensor in exact]
    segments = torch.tensor([[1, 1, 1, 2, 2, 0], [1, 2, 2, 2, 3, 3]])
    mask = AttentionMask.of(segment_mask(segments, segments, causal=True))
    outs = []
    for inputs in (exact, rough):
        out = attend(*inputs, mask, dropout=0.0)
        out.float().square().sum().backward()
        outs.append(out)
    torch.testing.assert_close(outs[1].float(), outs[0], atol=0.03, rtol=0.03)
    for a, b in zip(exact, rough, strict=True):
        assert a.grad is not None
        assert b.grad is not None
        error = (b.grad.float() - a.grad).norm() / a.grad.norm()
        assert error.item() < 0.03


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dropout_acts_on_the_probabilities(dtype: torch.dtype) -> None:
    """With 4,000 equal keys of value 1, half of them dropped, the output is near 1 and not 1."""
    torch.manual_seed(1)
    query, key = torch.zeros(1, 1, 1, 4, dtype=dtype), torch.zeros(1, 1, 4000, 4, dtype=dtype)
    mask = AttentionMask.of(torch.ones(1, 1, 1, 4000, dtype=torch.bool))
    out = attend(query, key, torch.ones_like(key), mask, dropout=0.5)
    assert out.float().mean().item() == pytest.approx(1.0, abs=0.08)
    assert not torch.equal(out, attend(query, key, torch.ones_like(key), mask, dropout=0.5))


def reference(d_model: int, num_heads: int) -> nn.MultiheadAttention:
    torch.manual_seed(1)
    attention = nn.MultiheadAttention(d_model, num_heads, batch_first=True)
    nn.init.normal_(attention.in_proj_bias)
    nn.init.normal_(attention.out_proj.bias)
    return attention


@torch.no_grad()
def test_self_attention_equals_that_of_torch() -> None:
    theirs, ours = reference(16, 4), SelfAttention(16, 4, dropout=0.0, rotary=None)
    ours.query_key_value.weight.copy_(theirs.in_proj_weight)
    ours.query_key_value.bias.copy_(theirs.in_proj_bias)
    ours.output.load_state_dict(theirs.out_proj.state_dict())
    x, segments = torch.randn(2, 5, 16), torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    mask = AttentionMask.of(segment_mask(segments, segments, causal=True))
    forbidden = torch.ones(5, 5, dtype=torch.bool).triu(1)
    expected, _ = theirs(x, x, x, attn_mask=forbidden, key_padding_mask=segments == 0)
    out = ours(x, torch.arange(5).expand(2, 5), mask)
    torch.testing.assert_close(out[segments != 0], expected[segments != 0], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_cross_attention_equals_that_of_torch() -> None:
    theirs, ours = reference(16, 2), CrossAttention(16, 2, dropout=0.0)
    query, key_value = theirs.in_proj_weight.split([16, 32])
    query_bias, key_value_bias = theirs.in_proj_bias.split([16, 32])
    ours.query.weight.copy_(query)
    ours.query.bias.copy_(query_bias)
    ours.key_value.weight.copy_(key_value)
    ours.key_value.bias.copy_(key_value_bias)
    ours.output.load_state_dict(theirs.out_proj.state_dict())
    x, memory, is_real = torch.randn(2, 3, 16), torch.randn(2, 4, 16), torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]) == 1
    expected, _ = theirs(x, memory, memory, key_padding_mask=~is_real)
    torch.testing.assert_close(
        ours(x, memory, AttentionMask.of(is_real[:, None, None, :])), expected, atol=1e-5, rtol=1e-5
    )


def test_attention_dropout_acts_in_training_only() -> None:
    torch.manual_seed(1)
    attention = SelfAttention(8, 2, dropout=0.5, rotary=None)
    x, segments = torch.randn(1, 6, 8), torch.ones(1, 6, dtype=torch.long)
    arguments = (x, torch.arange(6)[None], AttentionMask.of(segment_mask(segments, segments, causal=False)))
    assert not torch.equal(attention(*arguments), attention(*arguments))
    attention.eval()
    assert torch.equal(attention(*arguments), attention(*arguments))


def test_the_cache_forgets_sentences_and_slots() -> None:
    # 3 sentences, 4 slots of which 3 are written, 1 head, head_dim 1.
    keys = torch.tensor([[1.0, 2, 3, 0], [4, 5, 6, 0], [7, 8, 9, 0]]).view(3, 4, 1, 1)
    memory = torch.tensor([10.0, 20.0, 30.0]).view(3, 1, 1, 1)
    cache = KeyValueCache(keys.clone(), -keys, memory, -memory)
    cache.keep(torch.tensor([0, 2]), torch.tensor([[0, 2], [1, 2]]))
    assert cache.self_keys[:, :2].flatten(1).tolist() == [[1, 3], [8, 9]]
    assert cache.self_values[:, :2].flatten(1).tolist() == [[-1, -3], [-8, -9]]
    assert cache.self_keys.shape == (2, 4, 1, 1)
    assert (cache.memory_keys.flatten().tolist(), cache.memory_values.flatten().tolist()) == ([10, 30], [-10, -30])
