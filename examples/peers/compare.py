"""Runs `pacd bench` and hypergradient.py in turn on the same network and images, and prints a table of medians.

Each round measures both, one after the other; ratios are taken round by round, so that a machine that changes its speed
favours neither; the last column is that of the fastest round of each, which other work on the machine disturbs least. A
ratio below 1 means that pacd takes less time. The last row is the processor time of one repeat of everything measured
(two hypergradients, their noise, a training step, an attack step), which waiting for a busy machine does not count in.
"""

import argparse
import json
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
PARTS = [
    ("training step", "training_step"),
    ("hypergradient", "hypergradient"),
    ("- outer gradient", "outer_gradient"),
    ("- inner graph", "inner_graph"),
    ("- linear solve", "solve"),
    ("  - one product", "product"),
    ("- mixed product", "mixed_product"),
    ("- its noise", "noise"),
    ("attack step", "attack_step"),
    ("processor time", "processor"),
]


def processor_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(command, repeats):
    """What a program reports, with the processor time of one repeat of everything that it measures."""
    spent = []
    for count in (1, 1 + repeats):
        before = processor_seconds()
        document = run_once(command + ["--repeats", count])
        spent.append(processor_seconds() - before)
    return document, 1e3 * (spent[1] - spent[0]) / repeats


def run_once(command):
    result = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True)
    if result.returncode:
        sys.exit(f"{command[0]} failed with exit status {result.returncode}")
    return json.loads(result.stdout)


def main():
    parser = argparse.ArgumentParser(description="pacd against PyTorch eager, in turn.")
    parser.add_argument("--pacd", default=HERE.parents[1] / "target/release/pacd", help="the program")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each part a round")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--fused-adam", action="store_true", help="let PyTorch use its fused Adam")
    options, more = parser.parse_known_args()
    common = ["--threads", options.threads, "--device", options.device]
    ours, theirs, differences = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        reference = pathlib.Path(folder) / "reference.safetensors"
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
            command = [options.pacd, "bench", "--json", "--reference", reference, *common, *more]
            bench, spent = run(command, options.repeats)
            peer = [sys.executable, HERE / "hypergradient.py", "--reference", reference, *common]
            peer, their_spent = run(peer + ["--fused-adam"] * options.fused_adam, options.repeats)
            ours.append({**bench["report"]["milliseconds"], "processor": spent})
            theirs.append({**peer["milliseconds"], "processor": their_spent})
            differences.append(peer["relative_difference"])
    print(f"{bench['network']}, {bench['method']}, {bench['curvature']}, {bench['report']['iterations']} iterations;", end=" ")
    print(f"{bench['machine']['processor']}, {options.device}, {options.threads} thread(s), {options.rounds} rounds")
    print(f"{'milliseconds':<18}{'pacd':>10}{'PyTorch':>10}{'ratio':>8}{'from':>8}{'to':>8}{'best':>8}")
    for title, key in PARTS:
        ratios = [a[key] / b[key] for a, b in zip(ours, theirs)]
        a, b = (statistics.median(times[key] for times in side) for side in (ours, theirs))
        ratio = statistics.median(ratios)
        best = min(times[key] for times in ours) / min(times[key] for times in theirs)
        print(f"{title:<18}{a:>10.2f}{b:>10.2f}{ratio:>8.2f}{min(ratios):>8.2f}{max(ratios):>8.2f}{best:>8.2f}")
    print(f"relative difference of the two hypergradients: at most {max(differences):.1e}")


if __name__ == "__main__":
    main()
