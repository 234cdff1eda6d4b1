"""Runs `pacd bench` and hypergradient.py in turn on the same network and images, and prints a table of medians.

Each round measures both, one after the other; ratios are taken round by round, so that a machine that changes its speed
favours neither. A ratio below 1 means that pacd takes less time.
"""

import argparse
import json
import pathlib
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
]


def run(command):
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
    common = ["--threads", options.threads, "--device", options.device, "--repeats", options.repeats]
    ours, theirs, differences = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        reference = pathlib.Path(folder) / "reference.safetensors"
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
            bench = run([options.pacd, "bench", "--json", "--reference", reference, *common, *more])
            peer = [sys.executable, HERE / "hypergradient.py", "--reference", reference, *common]
            peer = run(peer + ["--fused-adam"] * options.fused_adam)
            ours.append(bench["report"]["milliseconds"])
            theirs.append(peer["milliseconds"])
            differences.append(peer["relative_difference"])
    print(f"{bench['network']}, {bench['method']}, {bench['curvature']}, {bench['report']['iterations']} iterations;", end=" ")
    print(f"{bench['machine']['processor']}, {options.device}, {options.threads} thread(s), {options.rounds} rounds")
    print(f"{'milliseconds':<18}{'pacd':>10}{'PyTorch':>10}{'ratio':>8}{'from':>8}{'to':>8}")
    for title, key in PARTS:
        ratios = [a[key] / b[key] for a, b in zip(ours, theirs)]
        a, b = (statistics.median(times[key] for times in side) for side in (ours, theirs))
        ratio = statistics.median(ratios)
        print(f"{title:<18}{a:>10.2f}{b:>10.2f}{ratio:>8.2f}{min(ratios):>8.2f}{max(ratios):>8.2f}")
    print(f"relative difference of the two hypergradients: at most {max(differences):.1e}")


if __name__ == "__main__":
    main()
