"""What all runners of decoding share: passes over the test set, its outputs as ids, and the gate after each pass."""

from collections.abc import Callable, Sequence
from pathlib import Path

from peers.gate import Gate
from peers.job import DecodingJob, read_ids

Translate = Callable[[list[list[int]]], Sequence[Sequence[int]]]


def serve(job: DecodingJob, gate: Gate, translate: Translate) -> None:
    """Translates until the benchmark has enough.

    A pass counts as one step, its output tokens (end marks included) as tokens and its sentences as positions.

    Args:
        translate: ids of the sources without special ids, to ids of their best translations without them.
    """
    sources = read_ids(job.text.src_ids)[: job.most_sentences]
    while True:
        outputs = translate(sources)
        lines = (" ".join(map(str, output)) for output in outputs)
        Path(job.outputs).write_text("".join(f"{line}\n" for line in lines), encoding="ascii")
        gate.after_step(sum(len(output) + 1 for output in outputs), len(outputs))


def batched(translate_batch: Translate, batch_size: int) -> Translate:
    """Translates any number of sources, in batches of about equal length, the longest first."""

    def translate(sources: list[list[int]]) -> Sequence[Sequence[int]]:
        order = sorted(range(len(sources)), key=lambda i: -len(sources[i]))
        outputs: list[Sequence[int]] = [[] for _ in sources]
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            for i, output in zip(batch, translate_batch([sources[i] for i in batch]), strict=True):
                outputs[i] = output
        return outputs

    return translate
