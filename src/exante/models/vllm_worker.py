"""Samples one job with vLLM, in a process and perhaps an environment of its own.

    python vllm_worker.py JOB

JOB is a JSON file that `exante.models.vllm_engine` wrote. This file imports nothing but the
standard library and vLLM, so that it also runs where exante is not installed. Each turn is a line
of the job's output file; vLLM's own words go to stderr.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

MISSING = 3
"""Exit code: vLLM cannot be imported."""


def main(path: str) -> int:
    """Write a line per row of the job; stop early if whoever started this is gone."""
    job = json.loads(Path(path).read_text(encoding="utf-8"))
    try:
        from vllm import LLM
    except ImportError as error:
        print(f"vLLM cannot be imported: {error}", file=sys.stderr)
        return MISSING
    parent = os.getppid()
    # Safetensors only, no code of the model's, no sampling defaults of its generation_config.json.
    engine = LLM(
        model=job["model"],
        dtype=job["dtype"],
        tensor_parallel_size=job["gpus"],
        max_model_len=job["longest"],
        skip_tokenizer_init=True,
        generation_config="vllm",
        load_format="safetensors",
        logprobs_mode="raw_logprobs",
        trust_remote_code=False,
    )
    rows, together = job["rows"], job["together"]
    with Path(job["out"]).open("a", encoding="utf-8") as out:
        for start in range(0, len(rows), together):
            if os.getppid() != parent:
                return 1
            for turn in sampled(engine, job, rows[start : start + together]):
                out.write(json.dumps(turn) + "\n")
            out.flush()
    return 0


def sampled(engine: Any, job: dict[str, Any], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One turn per row; log-probs of forced and sampled tokens at temperature 1."""
    from vllm import SamplingParams

    outputs = engine.generate(
        [{"prompt_token_ids": row["prompt_ids"] + row["forced_ids"]} for row in rows],
        [
            SamplingParams(
                temperature=job["temperature"],
                max_tokens=job["max_new_tokens"],
                seed=row["seed"],
                # The ends of a turn as exante knows them, whatever else the model's config names.
                ignore_eos=True,
                stop_token_ids=job["stop_ids"],
                logprobs=0,
                prompt_logprobs=0 if row["forced_ids"] else None,
                detokenize=False,
            )
            for row in rows
        ],
        use_tqdm=False,
    )
    return [_turn(row, output) for row, output in zip(rows, outputs, strict=True)]


def _turn(row: dict[str, Any], output: Any) -> dict[str, Any]:
    (turn,) = output.outputs
    tokens = [int(token) for token in turn.token_ids]
    first = len(row["prompt_ids"])
    forced = [
        output.prompt_logprobs[first + place][token].logprob
        for place, token in enumerate(row["forced_ids"])
    ]
    return {
        "id": row["id"],
        "sample": row["sample"],
        "token_ids": row["forced_ids"] + tokens,
        "logprobs": forced
        + [turn.logprobs[place][token].logprob for place, token in enumerate(tokens)],
        "finish": turn.finish_reason,
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
