"""Attention over packed rows: the forms that there are, forward and backward together.

    python benchmarks/attention.py [--rows 64] [--row-length 64] [--threads 2]    # a CPU: written out, and built in
    python benchmarks/attention.py --cuda                                         # a GPU: the backends of torch
    python benchmarks/attention.py --cuda --quick                                 # a toy, also without a GPU

Rows are packed with sentences of 25 tokens on average. Prints for encoder and decoder the time of each form,
interleaved, median with the least and the largest; the ratio to the first; and how far its result is from that of the
first, relative. What cannot run here is named with its reason.

On a GPU, rows of 128 with 32,768 positions, 8 and 16 heads of 64, bfloat16: `attend` as the model calls it; torch's
kernels with the same mask; flex_attention with a block for each row; varlen_attn over sentences without padding.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from mt_trainer.data.batching import pack_rows
from mt_trainer.model.attention import AttentionMask, attend, attend_written_out, segment_mask

MEAN_LENGTH = 25


@dataclass(frozen=True)
class Packed:
    """Rows of sentences: R rows, L positions, H heads, K head_dim, T tokens without padding.

    Attributes:
        segments: int64 [R, L], the sentences of a row from 1; 0 is padding.
        mask: bool [R, 1, L, L], which keys a query sees.
    """

    segments: Tensor
    is_causal: bool

    @property
    def mask(self) -> Tensor:
        """Which keys a query sees."""
        return segment_mask(self.segments, self.segments, causal=self.is_causal)

    def of_tokens(self, values: Tensor) -> Tensor:
        """[R, H, L, K] -> [T, H, K]."""
        return values.transpose(1, 2)[self.segments != 0]


@dataclass(frozen=True)
class Form:
    """A way to compute attention.

    Attributes:
        attend: query, key and value, each as `takes` makes it of rows [R, H, L, K], to the context in the same layout.
        takes: what it takes.
        gives: its context as tokens [T, H, K].
    """

    attend: Callable[[Tensor, Tensor, Tensor], Tensor]
    takes: Callable[[Tensor], Tensor]
    gives: Callable[[Tensor], Tensor]


def in_rows(attend: Callable[[Tensor, Tensor, Tensor], Tensor], packed: Packed) -> Form:
    """A form that takes rows and gives rows."""
    return Form(attend, lambda rows: rows, packed.of_tokens)


def built_in(packed: Packed, dtype: torch.dtype, backend: SDPBackend | None = None) -> Form:
    """`scaled_dot_product_attention` with the mask, in a precision; by one backend alone if it is given."""
    mask = packed.mask

    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        with nullcontext() if backend is None else sdpa_kernel(backend):
            context = F.scaled_dot_product_attention(query.to(dtype), key.to(dtype), value.to(dtype), attn_mask=mask)
        return context.to(query.dtype)

    return in_rows(attend, packed)


def flex(packed: Packed) -> Form:
    """`flex_attention`, compiled, with one block for each row: its queries look at that block alone."""
    segments, is_causal = packed.segments, packed.is_causal
    rows, length = segments.shape

    def sees(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        same = (segments[row, query] == segments[row, key]) & (segments[row, key] != 0)
        return same & (query >= key) if is_causal else same

    one_block = BlockMask.from_kv_blocks(
        torch.ones(rows, 1, 1, dtype=torch.int32, device=segments.device),
        torch.zeros(rows, 1, 1, 1, dtype=torch.int32, device=segments.device),
        BLOCK_SIZE=length,
        mask_mod=sees,
    )
    kernel = torch.compile(flex_attention, dynamic=False)
    return in_rows(lambda query, key, value: kernel(query, key, value, block_mask=one_block), packed)


def varlen(packed: Packed) -> Form:
    """`varlen_attn` over the sentences one after the other, without padding."""
    from torch.nn.attention.varlen import varlen_attn

    sentences = packed.segments[packed.segments != 0]
    is_first = torch.ones_like(sentences, dtype=torch.bool)
    is_first[1:] = sentences[1:] != sentences[:-1]
    row_ends = (packed.segments != 0).sum(1).cumsum(0)[:-1]
    is_first[row_ends] = True
    starts = F.pad(is_first.nonzero().flatten(), (0, 1), value=len(sentences)).int()
    longest = int(starts.diff().max())
    window = (-1, 0) if packed.is_causal else (-1, -1)

    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        context = varlen_attn(query, key, value, starts, starts, longest, longest, window_size=window)
        assert isinstance(context, Tensor)
        return context

    return Form(attend, packed.of_tokens, lambda tokens: tokens)


def forms_of_a_cpu(packed: Packed) -> dict[str, Callable[[], Form]]:
    """In float32, cast around; in bfloat16; and the form that training uses."""
    return {
        "built_in_float32": lambda: built_in(packed, torch.float32),
        "built_in_bfloat16": lambda: built_in(packed, torch.bfloat16),
        "written_out": lambda: in_rows(
            partial(attend_written_out, mask=AttentionMask.of(packed.mask), dropout=0.0), packed
        ),
    }


def forms_of_a_gpu(packed: Packed) -> dict[str, Callable[[], Form]]:
    """The form that training uses first."""
    return {
        "attend": lambda: in_rows(partial(attend, mask=AttentionMask.of(packed.mask), dropout=0.0), packed),
        "efficient": lambda: built_in(packed, torch.bfloat16, SDPBackend.EFFICIENT_ATTENTION),
        "math": lambda: built_in(packed, torch.bfloat16, SDPBackend.MATH),
        "flex_attention": lambda: flex(packed),
        "varlen_attn": lambda: varlen(packed),
    }


def pack(num_rows: int, length: int, device: torch.device) -> Tensor:
    """Segments [R, L] of rows packed as training packs them, with log-normal lengths."""
    random = np.random.default_rng(1)
    number = 2 * num_rows * length // MEAN_LENGTH
    drawn = random.lognormal(np.log(MEAN_LENGTH) - 0.5 * 0.6**2, 0.6, number).astype(int).clip(1, length).tolist()
    rows = pack_rows(range(number), drawn, drawn, length)
    segments = torch.zeros(num_rows, length, dtype=torch.int64)
    for place, row in enumerate(random.permutation(len(rows))[:num_rows].tolist()):
        lengths = torch.tensor([drawn[sentence] for sentence in rows[row]])
        numbers = torch.arange(1, len(lengths) + 1).repeat_interleave(lengths)
        segments[place, : len(numbers)] = numbers
    return segments.to(device)


def leaves(values: list[Tensor], form: Form) -> list[Tensor]:
    return [form.takes(value).detach().clone().requires_grad_() for value in values]


def seconds_of(form: Form, values: list[Tensor], passes: int) -> float:
    """Forward and backward, on average over some passes."""
    inputs = leaves(values, form)
    is_cuda = values[0].device.type == "cuda"
    if is_cuda:
        torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(passes):
        torch.autograd.grad(form.attend(*inputs).sum(), inputs)
    if is_cuda:
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / passes


def compare(forms: dict[str, Callable[[], Form]], values: list[Tensor], *, repeats: int, passes: int) -> None:
    """Measures and prints."""
    usable: dict[str, Form] = {}
    results: dict[str, Tensor] = {}
    for name, build in forms.items():
        try:
            form = build()
            seconds_of(form, values, 1)
            results[name] = form.gives(form.attend(*leaves(values, form))).detach().float()
            usable[name] = form
        except (RuntimeError, NotImplementedError, AssertionError) as error:
            print(f"{name:<18} not measured: {str(error).partition('. ')[0].strip()}")
    seconds: dict[str, list[float]] = {name: [] for name in usable}
    for _ in range(repeats):
        for name, form in usable.items():
            seconds[name].append(seconds_of(form, values, passes))
    first = next(iter(usable))
    base = statistics.median(seconds[first])
    for name, times in seconds.items():
        middle, spread = statistics.median(times), f"{1e3 * min(times):.2f} to {1e3 * max(times):.2f}"
        off = float((results[name] - results[first]).norm() / results[first].norm())
        print(f"{name:<18} {1e3 * middle:8.2f} ms ({spread})  x {middle / base:.2f}  off by {off:.1e}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("rows", 64), ("row-length", 64), ("head-dim", 32), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--heads", type=int, nargs="+", default=[4])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--cuda", action="store_true", help="the comparison for a GPU")
    parser.add_argument("--quick", action="store_true", help="a toy, on whatever is here")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.cuda:
        options.rows, options.row_length, options.head_dim, options.heads = 256, 128, 64, [8, 16]
    if options.quick:
        options.rows, options.heads, options.repeats = 2, [2], 1
    device = torch.device("cuda" if options.cuda and torch.cuda.is_available() else "cpu")
    if options.cuda and not options.quick and device.type == "cpu":
        parser.error("no GPU is here; --quick goes without")
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {options.threads} threads"
    segments = pack(options.rows, options.row_length, device)
    for heads in options.heads:
        shape = (options.rows, options.row_length, heads, options.head_dim)
        values = [torch.randn(shape, device=device).bfloat16().transpose(1, 2) for _ in range(3)]
        for kind, is_causal in (("encoder", False), ("decoder", True)):
            print(f"{kind}: torch {torch.__version__}, {where}, [R, H, L, K] = {list(values[0].shape)}")
            packed = Packed(segments, is_causal)
            forms = forms_of_a_gpu(packed) if options.cuda else forms_of_a_cpu(packed)
            compare(forms, values, repeats=options.repeats, passes=10 if device.type == "cuda" else 1)


if __name__ == "__main__":
    main()
