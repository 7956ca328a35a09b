"""mt_trainer: the translator that mt-translate uses, from text to text."""

from collections.abc import Sequence
from pathlib import Path

from mt_trainer.config.runtime import RuntimeConfig
from mt_trainer.decoding.translate import build_translator
from mt_trainer.machine import set_up_machine
from mt_trainer.training.loading import load_run
from peers.gate import Gate
from peers.job import decoding_job
from peers.runners.serving import serve


def main() -> None:
    """Translates until the benchmark has enough; cutting into pieces and joining them is part of it."""
    job = decoding_job()
    gate = Gate(job.device)
    machine = set_up_machine(RuntimeConfig(device="cuda" if job.device == "cuda" else "cpu", threads=job.threads))
    run = load_run(Path(job.run_folder), device=machine.device)
    search = {
        "strategy": "beam",
        "beam_size": job.beam_size,
        "length_penalty": 0.0,
        "max_length_ratio": 0.0,
        "max_length_constant": job.longest,
    }
    config = run.config.decoding.model_validate({**run.config.decoding.model_dump(), **search, **job.settings})
    translator = build_translator(
        config, model=run.model, tokenizers=run.tokenizers, device=machine.device, seed=run.config.runtime.seed
    )
    texts = Path(job.text.src).read_text(encoding="utf-8").splitlines()

    def translate(sources: list[list[int]]) -> Sequence[Sequence[int]]:
        return [best[0].tokens for best in translator.translate(texts[: len(sources)])]

    serve(job, gate, translate)


if __name__ == "__main__":
    main()
