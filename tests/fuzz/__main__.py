"""Coverage-guided fuzzing of all targets, one after another; for `make fuzz`, and not for pytest.

    python -m tests.fuzz --seconds 600 --found FOLDER

Needs the extra `fuzz` (Atheris, on Linux). Every target gets an equal share of the seconds in a
process of its own. Prints a line per target, leaves what was found in the folder, and exits with 1
if that is anything.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.fuzz.targets import Target

_WORDS = (
    *('"', "'", "{", "}", "[", "]", ":", ",", "- ", "&a ", "*a", "!!int ", "!!timestamp ", "<<: "),
    *("null", "true", "NaN", "Infinity", "1e999", "-1", "\\ud800", "\\x00", "\\U0011ffff", "? "),
    *("<think>", "</think>", "<assess>", "</assess>", "<verify>", "</verify>", "<calibrate>"),
    *("</calibrate>", "refuse", "comply", "[A]", "A.1 violated: ", "not-met", "; "),
    *("version", "name", "categories", "id", "title", "definition", "prohibited", "allowed"),
    *(
        "steps",
        "stage",
        "extends",
        "settings",
        "each",
        "repeat",
        "carry",
        "gate",
        "outcome",
        "$rate",
    ),
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
    with tempfile.TemporaryDirectory(prefix="exante-fuzz-") as place:
        words = Path(place) / "words"
        quoted = (word.replace("\\", "\\\\").replace('"', '\\"') for word in _WORDS)
        words.write_text("".join(f'"{word}"\n' for word in quoted))
        seconds = asked.seconds // len(chosen)
        jobs = [_job(one, seconds, Path(place), words, asked.found) for one in chosen]
        (Path(place) / "jobs.json").write_text(json.dumps(jobs))
        command = [sys.executable, "-m", "tests.fuzz.worker", str(Path(place) / "jobs.json")]
        code = subprocess.run(command, check=False).returncode
    print(f"{'target':10} {'executions':>11} {'coverage':>9}  found")
    for job in jobs:
        print(_line(str(job["name"]), Path(str(job["log"]))))
    return 1 if code else 0


def _job(target: Target, seconds: int, place: Path, words: Path, found: Path) -> dict[str, Any]:
    """How libFuzzer is to run a target, and where its seeds are."""
    corpus = place / target.name
    corpus.mkdir()
    for number, seed in enumerate(target.seeds):
        (corpus / str(number)).write_bytes(seed)
    options = [f"-max_total_time={seconds}", f"-dict={words}", "-print_final_stats=1", "-seed=1"]
    options += ["-max_len=4096", "-timeout=20", "-rss_limit_mb=4096"]
    options += [f"-artifact_prefix={found / target.name}-", str(corpus)]
    return {"name": target.name, "options": options, "log": str(found / f"{target.name}.log")}


def _line(name: str, log: Path) -> str:
    """What a log says: inputs tried, branches of the watched modules, and what was found."""
    text = log.read_text(errors="replace")
    tried = re.findall(r"number_of_executed_units: (\d+)", text)
    covered = re.findall(r"cov: (\d+)", text)
    state = f"see {log}" if "ERROR" in text or "Uncaught" in text else "nothing"
    return (
        f"{name:10} {tried[-1] if tried else '?':>11} {covered[-1] if covered else '?':>9}  {state}"
    )


if __name__ == "__main__":
    sys.exit(main())
