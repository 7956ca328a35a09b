"""Hugging Face `generate` on the same weights, in a `MarianMTModel`, which is post-norm."""

from collections.abc import Sequence

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import MarianConfig, MarianMTModel

from peers.gate import Gate
from peers.job import DecodingJob, decoding_job
from peers.runners.serving import batched, serve
from peers.weights import Weights

PAD, BOS, EOS = 0, 2, 3


def load_model(job: DecodingJob) -> MarianMTModel:
    """With the weights of the run; every parameter is set."""
    weights, sizes = Weights(job.weights), job.sizes
    if weights.is_pre_norm:
        raise SystemExit("MarianMTModel is post-norm: these weights do not fit")
    model = MarianMTModel(
        MarianConfig(
            vocab_size=sizes.vocab_size,
            d_model=sizes.d_model,
            encoder_layers=sizes.num_layers,
            decoder_layers=sizes.num_layers,
            encoder_ffn_dim=sizes.ffn_dim,
            decoder_ffn_dim=sizes.ffn_dim,
            encoder_attention_heads=sizes.num_heads,
            decoder_attention_heads=sizes.num_heads,
            max_position_embeddings=len(weights["positions"]),
            activation_function="relu",
            scale_embedding=True,
            pad_token_id=PAD,
            bos_token_id=BOS,
            eos_token_id=EOS,
            forced_eos_token_id=None,
            decoder_start_token_id=BOS,
        )
    ).eval()
    found = {"model.shared.weight": weights.embedding}
    for side in ("encoder", "decoder"):
        for index in range(sizes.num_layers):
            ours, theirs = f"{side}.{index}", f"model.{side}.layers.{index}"
            maps = {
                "self_attn.out_proj": weights.linear(f"{ours}.self_attention.output"),
                "self_attn_layer_norm": weights.linear(f"{ours}.around_self_attention.norm"),
                "fc1": weights.linear(f"{ours}.feed_forward.inner"),
                "fc2": weights.linear(f"{ours}.feed_forward.output"),
                "final_layer_norm": weights.linear(f"{ours}.around_feed_forward.norm"),
            }
            parts = weights.stacked(f"{ours}.self_attention.query_key_value", 3)
            maps |= {f"self_attn.{letter}_proj": part for letter, part in zip("qkv", parts, strict=True)}
            if side == "decoder":
                parts = weights.stacked(f"{ours}.cross_attention.key_value", 2)
                maps |= {f"encoder_attn.{letter}_proj": part for letter, part in zip("kv", parts, strict=True)}
                maps["encoder_attn.q_proj"] = weights.linear(f"{ours}.cross_attention.query")
                maps["encoder_attn.out_proj"] = weights.linear(f"{ours}.cross_attention.output")
                maps["encoder_attn_layer_norm"] = weights.linear(f"{ours}.around_cross_attention.norm")
            for name, (weight, bias) in maps.items():
                found[f"{theirs}.{name}.weight"], found[f"{theirs}.{name}.bias"] = weight, bias
    parameters = dict(model.named_parameters())
    positions = {name for name in parameters if name.endswith("embed_positions.weight")}
    if missing := parameters.keys() - found.keys() - positions:
        raise SystemExit(f"no weights for {', '.join(sorted(missing))}")
    with torch.no_grad():
        for name, array in found.items():
            parameters[name].copy_(torch.from_numpy(array))
        for name in positions:
            parameters[name].copy_(torch.from_numpy(weights["positions"]))
    return model


def main() -> None:
    """Translates until the benchmark has enough."""
    job = decoding_job()
    gate = Gate(job.device)
    torch.set_num_threads(job.threads)
    model = load_model(job).to(job.device)

    @torch.inference_mode()
    def translate_batch(sources: list[list[int]]) -> Sequence[Sequence[int]]:
        rows = [torch.tensor([*source, EOS]) for source in sources]
        input_ids = pad_sequence(rows, batch_first=True, padding_value=PAD).to(job.device)
        generated = model.generate(
            input_ids,
            attention_mask=(input_ids != PAD).long(),
            num_beams=job.beam_size,
            do_sample=False,
            length_penalty=0.0,
            max_new_tokens=job.longest,
            suppress_tokens=[PAD, BOS],
        )
        return [row[1 : row.index(EOS, 1) if EOS in row[1:] else len(row)] for row in generated.tolist()]

    serve(job, gate, batched(translate_batch, job.batch_size))


if __name__ == "__main__":
    main()
