"""CTranslate2 on the same weights: its model is written with its own specification, then loaded as a user would."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ctranslate2
from ctranslate2.specs import TransformerSpec

from peers.gate import Gate
from peers.job import DecodingJob, decoding_job
from peers.runners.serving import serve
from peers.weights import Weights


def write_model(job: DecodingJob, vocabulary: list[str], folder: Path) -> None:
    """A model folder of CTranslate2."""
    weights = Weights(job.weights)
    sizes = job.sizes
    spec = TransformerSpec.from_config(sizes.num_layers, sizes.num_heads, pre_norm=weights.is_pre_norm)
    for side, name in ((spec.encoder, "encoder"), (spec.decoder, "decoder")):
        embeddings = side.embeddings[0] if name == "encoder" else side.embeddings
        embeddings.weight = weights.embedding
        side.scale_embeddings = True
        side.position_encodings.encodings = weights["positions"]
        if weights.is_pre_norm:
            set_norm(side.layer_norm, weights, f"{name}_norm")
        for index, layer in enumerate(side.layer):
            prefix = f"{name}.{index}"
            set_linear(layer.self_attention.linear[0], weights, f"{prefix}.self_attention.query_key_value")
            set_linear(layer.self_attention.linear[1], weights, f"{prefix}.self_attention.output")
            set_norm(layer.self_attention.layer_norm, weights, f"{prefix}.around_self_attention.norm")
            if name == "decoder":
                set_linear(layer.attention.linear[0], weights, f"{prefix}.cross_attention.query")
                set_linear(layer.attention.linear[1], weights, f"{prefix}.cross_attention.key_value")
                set_linear(layer.attention.linear[2], weights, f"{prefix}.cross_attention.output")
                set_norm(layer.attention.layer_norm, weights, f"{prefix}.around_cross_attention.norm")
            set_linear(layer.ffn.linear_0, weights, f"{prefix}.feed_forward.inner")
            set_linear(layer.ffn.linear_1, weights, f"{prefix}.feed_forward.output")
            set_norm(layer.ffn.layer_norm, weights, f"{prefix}.around_feed_forward.norm")
    spec.decoder.projection.weight = weights.embedding
    spec.config.add_source_eos = True
    spec.register_source_vocabulary(vocabulary)
    spec.register_target_vocabulary(vocabulary)
    spec.validate()
    spec.optimize(quantization=None)
    folder.mkdir()
    spec.save(str(folder))


def set_linear(spec: Any, weights: Weights, name: str) -> None:
    spec.weight, spec.bias = weights.linear(name)


def set_norm(spec: Any, weights: Weights, name: str) -> None:
    spec.gamma, spec.beta = weights.linear(name)


def main() -> None:
    """Translates until the benchmark has enough."""
    job = decoding_job()
    gate = Gate("cpu")  # what it allocates on a GPU is unknown to torch
    vocabulary = Path(job.text.vocabulary).read_text(encoding="utf-8").split("\n")[:-1]
    index = {piece: i for i, piece in enumerate(vocabulary)}
    folder = Path(job.folder) / "model"
    write_model(job, vocabulary, folder)
    translator = ctranslate2.Translator(
        str(folder), device=job.device, inter_threads=1, intra_threads=job.threads, compute_type=job.compute_type
    )

    def translate(sources: list[list[int]]) -> Sequence[Sequence[int]]:
        results = translator.translate_batch(
            [[vocabulary[i] for i in source] for source in sources],
            beam_size=job.beam_size,
            length_penalty=0.0,
            max_batch_size=job.batch_size,
            max_decoding_length=job.longest,
        )
        return [[index[piece] for piece in result.hypotheses[0]] for result in results]

    serve(job, gate, translate)


if __name__ == "__main__":
    main()
