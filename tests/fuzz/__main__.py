"""The fuzzer: command lines and calls of the Python interface, drawn at random, and judged.

    python -m tests.fuzz --seeds 0 1 2 --commands 1000 --calls 3300

Batches run in processes of their own, so that one that dies or takes too much memory is told like any other fault. The
same seed and number give the same command or call; --first and a count of 1 repeat one.
"""

import argparse
import collections
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
BATCH = {"command": 150, "call": 800}
MEMORY_KB = 4 << 20
ADDRESSES = 16 << 30
"""Of a batch's process, so that what asks for everything fails alone; libraries reserve more than they use."""


def run_batch(kind: str, seed: int, first: int, count: int) -> None:
    """Run some commands or calls in this process, and print a line of JSON before and after each."""
    import jax

    from sam_jax.cli.compilation import keep_compiled_programs
    from tests.fuzz.calls import draw_call
    from tests.fuzz.commands import draw_command
    from tests.fuzz.judge import judge_call, judge_command
    from tests.fuzz.world import make_world

    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    jax.config.update("jax_disable_most_optimizations", True)
    keep_compiled_programs()
    place = Path(tempfile.mkdtemp(prefix="sam_jax-fuzz-"))
    report = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    try:
        world = place / "world"
        world.mkdir()
        make_world(world)
        os.chdir(world)
        for number in range(first, first + count):
            rng = random.Random(f"{kind} {seed} {number}")
            # What somebody damaged is made anew now and then, since some commands may mend it.
            out = place / f"out_{number}"
            if kind == "command":
                command = draw_command(rng, out)
                text = json.dumps(command)
            else:
                call = draw_call(rng, world)
                text = call.text
            print(json.dumps({"number": number, "text": text}), file=report, flush=True)
            problem, ending = judge_command(command, out) if kind == "command" else judge_call(call)
            print(json.dumps({"problem": problem, "ending": ending}), file=report, flush=True)
            shutil.rmtree(out, ignore_errors=True)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def fuzz(kind: str, seed: int, first: int, count: int) -> tuple[collections.Counter, list[str]]:
    """Run commands or calls in batches, and return how they ended and what was wrong."""
    endings: collections.Counter = collections.Counter()
    findings: list[str] = []
    while count > 0:
        size = min(count, BATCH[kind])
        arguments = [
            "--batch",
            kind,
            "--seeds",
            str(seed),
            "--first",
            str(first),
            "--count",
            str(size),
        ]
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz", *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        assert process.stdout is not None
        assert process.stderr is not None
        lines = [json.loads(line) for line in process.stdout]
        noise = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        done, current = 0, f"{kind} {seed}, before the first"
        for line in lines:
            if "text" in line:
                current = f"{kind} {seed} {line['number']}: {line['text']}"
                continue
            done += 1
            endings[line["ending"]] += 1
            if line["problem"]:
                findings.append(f"{line['problem']}  <-  {current}")
        if status != 0 or done < size:
            findings.append(f"died with status {status}  <-  {current}: {noise[-300:]!r}")
            done += 1
        if usage.ru_maxrss > MEMORY_KB:
            findings.append(
                f"{usage.ru_maxrss >> 10} MB  <-  {kind} {seed} {first} to {first + size}"
            )
        first, count = first + done, count - done
    return endings, findings


def main() -> int:
    """Read the options, fuzz, and print counts and findings."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--commands", type=int, default=1000)
    parser.add_argument("--calls", type=int, default=3300)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--batch", choices=["command", "call"], help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.batch:
        run_batch(options.batch, options.seeds[0], options.first, options.count)
        return 0
    everything: list[str] = []
    for seed in options.seeds:
        for kind, count in (("command", options.commands), ("call", options.calls)):
            endings, findings = fuzz(kind, seed, options.first, count)
            told = ", ".join(f"{ending} {number}" for ending, number in endings.most_common())
            print(f"seed {seed}, {count} {kind}s: {told or 'none'}", flush=True)
            for finding in findings:
                print(f"  {finding}", flush=True)
            everything += findings
    print(f"{len(everything)} findings")
    return 1 if everything else 0


if __name__ == "__main__":
    sys.exit(main())
