#!/usr/bin/env python3
"""What `rscert` takes of a machine besides ONNX Runtime: size, start-up time, resident memory.

    cargo build --release -p mithridate-runtime --bins --example bare_session
    python3 scripts/footprint.py --model lenet.onnx --data data/mnist

Prints three rows of a table. Start-up is the time from the start of the program to its end when it certifies one image
with ten samples, the least that certifies anything; memory is the largest resident set of a run of 10,000 samples less
that of a program that only runs the same model with batches of the same size.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

WORKSPACE = pathlib.Path(__file__).resolve().parent.parent
MIB = 1024 * 1024


def run(command, environment):
    """Seconds that a command takes and its largest resident set in bytes; ends this program where it fails."""
    started = time.perf_counter()
    child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    error = child.stderr.read().decode(errors="replace")
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - started
    if status != 0:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{error}")
    return seconds, usage.ru_maxrss * 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--sigma", default="0.25")
    parser.add_argument("--batch", type=int, default=64, help="inputs that the model gets at once")
    parser.add_argument("--image", type=int, nargs="+", default=[1, 28, 28], help="shape of an input of the model")
    parser.add_argument("--repeats", type=int, default=20, help="runs of each kind; the median counts")
    parser.add_argument("--target", type=pathlib.Path, default=WORKSPACE / "target/release")
    arguments = parser.parse_args()

    rscert, bare = arguments.target / "rscert", arguments.target / "examples/bare_session"
    for program in (rscert, bare):
        if not program.exists():
            sys.exit(f"{program} is not built; the first lines of this script say how")
    library = WORKSPACE / "third_party/onnxruntime/lib/libonnxruntime.so"
    # Neither shall report its use.
    environment = {"ORT_DYLIB_PATH": str(library), **os.environ, "ORT_DISABLE_TELEMETRY": "1"}

    with tempfile.TemporaryDirectory() as folder:
        stripped = pathlib.Path(folder) / "rscert"
        shutil.copy(rscert, stripped)
        subprocess.run(["strip", stripped], check=True)
        size = stripped.stat().st_size

        def certify(n, repeat):
            return run(
                [stripped, "certify", "--model", arguments.model, "--data", arguments.data, "--max", "1",
                 "--sigma", arguments.sigma, "--seed", "1", "--n0", "10", "--n", str(n), "--threads", "1",
                 "--batch", str(arguments.batch), "--out", f"{folder}/{n}-{repeat}.jsonl"],
                environment,
            )

        session = [bare, arguments.model, str(arguments.batch), "160", *map(str, arguments.image)]
        starts, larger, smaller, bare_starts = [], [], [], []
        # In turn, so that a machine that is busy for a while is so for all.
        for repeat in range(arguments.repeats):
            starts.append(certify(10, repeat)[0])
            larger.append(certify(10_000, repeat)[1])
            smaller.append(run(session, environment)[1])
            bare_starts.append(run([*session[:3], "1", *session[4:]], environment)[0])

    def median(values):
        return sorted(values)[len(values) // 2]

    extra = [one - other for one, other in zip(larger, smaller)]
    print("| what | rscert | bare ONNX Runtime |")
    print("| --- | --- | --- |")
    print(f"| size, stripped | {size / MIB:.1f} MiB | {library.stat().st_size / MIB:.1f} MiB |")
    print(f"| start-up, median (fastest) | {1000 * median(starts):.0f} ms ({1000 * min(starts):.0f} ms) "
          f"| {1000 * median(bare_starts):.0f} ms ({1000 * min(bare_starts):.0f} ms) |")
    print(f"| resident memory, median | {median(larger) / MIB:.1f} MiB, {median(extra) / MIB:.1f} MiB above "
          f"| {median(smaller) / MIB:.1f} MiB |")


if __name__ == "__main__":
    main()
