"""Coverage-guided fuzzing of all targets, one after another; for `make fuzz`, and not for pytest.

    python -m tests.fuzz --seconds 600 --found FOLDER

Needs the extra `fuzz` (Atheris, on Linux). Every target gets an equal share of the seconds in a
process of its own. Prints a line per target, leaves what was found in the folder, and exits with 1
if that is anything.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

_WORDS = (
    *('"', "'", "{", "}", "[", "]", ":", ",", "- ", "&a ", "*a", "!!int ", "!!timestamp ", "<<: "),
    *("null", "true", "NaN", "Infinity", "1e999", "-1", "\\ud800", "\\x00", "\\U0011ffff", "? "),
    *("<think>", "</think>", "<assess>", "</assess>", "<verify>", "</verify>", "<calibrate>"),
    *("</calibrate>", "refuse", "comply", "[A]", "A.1 violated: ", "not-met", "; "),
    *("version", "name", "categories", "id", "title", "definition", "prohibited", "allowed"),
    *("steps", "stage", "extends", "settings", "each", "repeat", "carry", "gate", "outcome", "$rate"),
    *("prompt", "chosen", "rejected", "messages", "role", "content", "user", "assistant", "kind"),
    *("response_0", "completions", "labels", "annotations", "Human: ", "Assistant: ", "portions"),
    *("choices", "message", "usage", "verdict: ", "score: ", "unsafe", "harmful response: yes"),
)
"""Words that random bytes rarely make."""


def main() -> int:
    """Fuzz everything; returns the exit code."""
    options = argparse.ArgumentParser()
    options.add_argument("--seconds", type=int, default=600)
    options.add_argument("--found", type=Path, default=Path("runs/fuzz"))
    options.add_argument("--target", default=None)
    asked = options.parse_args()
    from tests.fuzz.targets import TARGETS

    chosen = [one for one in TARGETS if asked.target in (None, one.name)]
    asked.found.mkdir(parents=True, exist_ok=True)
    found = 0
    print(f"{'target':10} {'executions':>11} {'per second':>11} {'coverage':>9}  found")
    for target in chosen:
        found += _fuzzed(target.name, target.seeds, asked.seconds // len(chosen), asked.found)
    return 1 if found else 0


def _fuzzed(name: str, seeds: tuple[bytes, ...], seconds: int, found: Path) -> int:
    """How many inputs were found on which a target fails: one, or none."""
    with tempfile.TemporaryDirectory(prefix="exante-fuzz-") as place:
        corpus, words = Path(place) / "corpus", Path(place) / "words"
        corpus.mkdir()
        for number, seed in enumerate(seeds):
            (corpus / str(number)).write_bytes(seed)
        quoted = (word.replace("\\", "\\\\").replace('"', '\\"') for word in _WORDS)
        words.write_text("".join(f'"{word}"\n' for word in quoted))
        command = [sys.executable, "-m", "tests.fuzz.worker", name, f"-max_total_time={seconds}"]
        command += [f"-dict={words}", f"-artifact_prefix={found / name}-", "-print_final_stats=1"]
        command += ["-max_len=4096", "-timeout=20", "-rss_limit_mb=4096", "-seed=1", str(corpus)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    (found / f"{name}.log").write_text(done.stderr + done.stdout)
    executions = _last(r"number_of_executed_units: (\d+)", done.stderr)
    rate = _last(r"average_exec_per_sec: +(\d+)", done.stderr)
    state = "nothing" if done.returncode == 0 else f"see {found / name}.log"
    coverage = _last(r"cov: (\d+)", done.stderr)
    print(f"{name:10} {executions:>11} {rate:>11} {coverage:>9}  {state}", flush=True)
    return int(done.returncode != 0)


def _last(pattern: str, text: str) -> str:
    found = re.findall(pattern, text)
    return found[-1] if found else "?"


if __name__ == "__main__":
    sys.exit(main())
