"""JoeyNMT's beam search on the same weights."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from joeynmt.batch import Batch
from joeynmt.model import build_model
from joeynmt.search import search
from joeynmt.vocabulary import Vocabulary
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from peers.gate import Gate
from peers.job import DecodingJob, decoding_job
from peers.runners.serving import batched, serve
from peers.weights import Weights

UNK, PAD, BOS, EOS = 0, 1, 2, 3
"""As JoeyNMT has them: the first two change places with ours."""


def load_model(job: DecodingJob) -> Any:
    """With the weights of the run; loading is strict."""
    weights, sizes = Weights(job.weights), job.sizes
    pieces = Path(job.text.vocabulary).read_text(encoding="utf-8").split("\n")[:-1]
    special = {"unk_token": pieces[1], "pad_token": pieces[0], "bos_token": pieces[2], "eos_token": pieces[3]}
    ids = {"unk_id": UNK, "pad_id": PAD, "bos_id": BOS, "eos_id": EOS, "sep_id": None, "sep_token": None}
    vocabulary = Vocabulary(pieces, SimpleNamespace(**special, **ids, lang_tags=[]))
    layers = {
        "type": "transformer",
        "num_layers": sizes.num_layers,
        "num_heads": sizes.num_heads,
        "embeddings": {"embedding_dim": sizes.d_model, "scale": True, "dropout": 0.0},
        "hidden_size": sizes.d_model,
        "ff_size": sizes.ffn_dim,
        "dropout": 0.0,
        "layer_norm": "pre" if weights.is_pre_norm else "post",
    }
    settings = {"tied_embeddings": True, "tied_softmax": True, "encoder": layers, "decoder": layers}
    model = build_model(settings, src_vocab=vocabulary, trg_vocab=vocabulary).eval()
    found: dict[str, Any] = {}
    for side in ("encoder", "decoder"):
        attention = "src_src_att" if side == "encoder" else "trg_trg_att"
        norm = "layer_norm" if side == "encoder" else "x_layer_norm"
        for index in range(sizes.num_layers):
            ours, theirs = f"{side}.{index}", f"{side}.layers.{index}"
            maps = {
                f"{attention}.output_layer": weights.linear(f"{ours}.self_attention.output"),
                norm: weights.linear(f"{ours}.around_self_attention.norm"),
                "feed_forward.pwff_layer.0": weights.linear(f"{ours}.feed_forward.inner"),
                "feed_forward.pwff_layer.3": weights.linear(f"{ours}.feed_forward.output"),
                "feed_forward.layer_norm": weights.linear(f"{ours}.around_feed_forward.norm"),
            }
            parts = weights.stacked(f"{ours}.self_attention.query_key_value", 3)
            maps |= {f"{attention}.{letter}_layer": part for letter, part in zip("qkv", parts, strict=True)}
            if side == "decoder":
                parts = weights.stacked(f"{ours}.cross_attention.key_value", 2)
                maps |= {f"src_trg_att.{letter}_layer": part for letter, part in zip("kv", parts, strict=True)}
                maps["src_trg_att.q_layer"] = weights.linear(f"{ours}.cross_attention.query")
                maps["src_trg_att.output_layer"] = weights.linear(f"{ours}.cross_attention.output")
                maps["dec_layer_norm"] = weights.linear(f"{ours}.around_cross_attention.norm")
            for name, (weight, bias) in maps.items():
                found[f"{theirs}.{name}.weight"], found[f"{theirs}.{name}.bias"] = weight, bias
        if weights.is_pre_norm:
            found[f"{side}.layer_norm.weight"], found[f"{side}.layer_norm.bias"] = weights.linear(f"{side}_norm")
        found[f"{side}.pe.pe"] = weights["positions"][None]
    embedding = weights.embedding[[1, 0, *range(2, sizes.vocab_size)]]
    found |= dict.fromkeys(("src_embed.lut.weight", "trg_embed.lut.weight", "decoder.output_layer.weight"), embedding)
    for side in (model.encoder, model.decoder):
        side.pe.pe = torch.from_numpy(weights["positions"])[None]  # their table is longer than ours
    model.load_state_dict({name: torch.from_numpy(array) for name, array in found.items()})
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = 1e-5
    return model


def main() -> None:
    """Translates until the benchmark has enough."""
    job = decoding_job()
    gate = Gate("cpu")
    torch.set_num_threads(job.threads)
    model = load_model(job)

    def translate_batch(sources: list[list[int]]) -> Sequence[Sequence[int]]:
        rows = [torch.tensor([*exchanged(source), EOS]) for source in sources]
        batch = Batch(
            src=pad_sequence(rows, batch_first=True, padding_value=PAD),
            src_length=torch.tensor([len(row) for row in rows]),
            src_prompt_mask=None,
            trg=None,
            trg_prompt_mask=None,
            indices=torch.arange(len(rows)),
            device=torch.device("cpu"),
            pad_index=PAD,
            eos_index=EOS,
            is_train=False,
        )
        found, _, _ = search(
            model=model, batch=batch, max_output_length=job.longest, beam_size=job.beam_size, beam_alpha=0.0
        )
        return [exchanged(row[: row.index(EOS)] if EOS in row else row) for row in found.tolist()]

    serve(job, gate, batched(translate_batch, job.batch_size))


def exchanged(ids: list[int]) -> list[int]:
    """Ours to theirs, and back: padding and unknown change places."""
    return [1 - i if i < 2 else i for i in ids]


if __name__ == "__main__":
    main()
