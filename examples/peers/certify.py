"""Certification by the usual research program in PyTorch eager, in turn with `rscert certify` on the same network and images.

The PyTorch half is CERTIFY of Cohen, Rosenfeld and Kolter (2019) as research code has it: batches of copies of an image
with `torch.randn_like` noise, arg-max, votes counted on the host, the Clopper-Pearson bound at the end. It reads its
weights from the ONNX file that rscert runs. Every round certifies the same images by rscert and by PyTorch at each batch
size, one after the other; ratios are taken round by round. A ratio above 1 means that rscert takes less time. The time of
rscert is that of the whole process, its start and the search for the fastest batch included; that of PyTorch is that of the
loop over images alone, after one batch that nobody measures. The last column is the ratio of processor times, in which
waiting for a busy machine does not count.

Both must agree: the same class, and counts of votes for it whose difference is within what chance allows.
"""

import argparse
import json
import math
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import numpy
import onnx
import torch
from scipy.stats import beta, norm
from torch import nn

HERE = pathlib.Path(__file__).resolve().parent
ALPHA = 0.001
SELECTION = 100


class Block(nn.Module):
    """Two 3x3 convolutions beside the identity, or beside a 1x1 convolution where the shape changes."""

    def __init__(self, inputs, outputs):
        super().__init__()
        stride = 1 if inputs == outputs else 2
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1, stride)

    def forward(self, x):
        return (self.body(x) + self.shortcut(x)).relu()


def lenet(channels, side):
    features = 50 * (((side - 4) // 2 - 4) // 2) ** 2
    return nn.Sequential(
        *(nn.Conv2d(channels, 20, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(20, 50, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(features, 500), nn.ReLU(), nn.Linear(500, 10)),
    )


def mlp(channels, side):
    hidden = 256
    return nn.Sequential(
        *(nn.Flatten(), nn.Linear(channels * side * side, hidden), nn.ReLU()),
        *(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 10)),
    )


def resnet20(channels, side):
    widths = [16, 16, 16, 16, 32, 32, 32, 64, 64, 64]
    return nn.Sequential(
        *(nn.Conv2d(channels, 16, 3, 1, 1), nn.BatchNorm2d(16), nn.ReLU()),
        *(Block(inputs, outputs) for inputs, outputs in zip(widths, widths[1:])),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)),
    )


NETWORKS = {"lenet": lenet, "mlp": mlp, "resnet20": resnet20}


def read(path):
    """The network of an ONNX file that `pacd` wrote, with its name; layers and constants come in the same order."""
    model = onnx.load(path)
    entries = {entry.key.removeprefix("mithridate."): entry.value for entry in model.metadata_props}
    name = entries.get("architecture")
    if name not in NETWORKS:
        sys.exit(f"{path} is no export of {', '.join(NETWORKS)}")
    channels, side, _ = json.loads(entries["input_shape"])
    network = NETWORKS[name](channels, side)
    stored = [onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer]
    own = [tensor for key, tensor in network.state_dict().items() if not key.endswith("num_batches_tracked")]
    if [tuple(tensor.shape) for tensor in own] != [array.shape for array in stored]:
        sys.exit(f"the weights of {path} are not those of a {name} in float32 with batch normalisation as it was")
    for tensor, array in zip(own, stored):
        tensor.copy_(torch.from_numpy(array.copy()))
    return name, network.eval()


def images(folder, count, skip):
    """Test images of MNIST (IDX) or CIFAR-10 (binary) in [0, 1], every `skip`-th as `rscert certify --skip` takes them."""
    folder = pathlib.Path(folder)
    if (folder / "test_batch.bin").is_file():
        records = numpy.fromfile(folder / "test_batch.bin", numpy.uint8).reshape(-1, 3073)
        pixels = records[:, 1:].reshape(-1, 3, 32, 32)
    else:
        bytes_ = numpy.fromfile(folder / "t10k-images-idx3-ubyte", numpy.uint8)
        pixels = bytes_[16:].reshape(-1, 1, 28, 28)
    return [torch.from_numpy(image).float() / 255 for image in pixels[::skip][:count]]


def sample(network, image, count, batch_size, sigma):
    """Votes for each class among `count` noisy copies of an image."""
    counts = numpy.zeros(10, dtype=int)
    while count > 0:
        size = min(batch_size, count)
        count -= size
        batch = image.repeat((size, 1, 1, 1))
        noise = torch.randn_like(batch) * sigma
        predictions = network(batch + noise).argmax(1)
        for index in predictions.cpu().numpy():
            counts[index] += 1
    return counts


def certify(network, image, n, batch_size, sigma):
    """Class, votes for it, and radius; a radius of 0 stands for abstention."""
    top = int(sample(network, image, SELECTION, batch_size, sigma).argmax())
    hits = int(sample(network, image, n, batch_size, sigma)[top])
    bound = beta.ppf(ALPHA, hits, n - hits + 1) if hits else 0.0
    return top, hits, sigma * norm.ppf(bound) if bound > 0.5 else 0.0


def by_pytorch(network, pictures, options, batch_size):
    with torch.no_grad():
        network(torch.randn(batch_size, *pictures[0].shape))
        started, used = time.perf_counter(), time.process_time()
        found = [certify(network, image, options.n, batch_size, options.sigma) for image in pictures]
        return (time.perf_counter() - started, time.process_time() - used), found


def children():
    """Processor time of the programs run so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def by_rscert(options, seed):
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "run.jsonl"
        command = [options.rscert, "certify", "--model", options.model, "--data", options.data, "--out", out]
        command += ["--sigma", options.sigma, "--alpha", ALPHA, "--n0", SELECTION, "--n", options.n, "--seed", seed]
        command += ["--max", options.images, "--skip", options.skip, "--threads", options.threads]
        started, used = time.perf_counter(), children()
        result = subprocess.run([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        spent = (time.perf_counter() - started, children() - used)
        if result.returncode:
            sys.exit(f"rscert failed: {result.stderr}")
        lines = [json.loads(line) for line in out.read_text().splitlines()]
    return spent, [line for line in lines if "index" in line]


def disagreement(n, ours, theirs):
    """Images of which another class was certified, and the largest difference of counts in standard errors."""
    classes, largest = 0, 0.0
    for line, (top, hits, radius) in zip(ours, theirs, strict=True):
        if line["class"] != top:
            # Of two classes that are near a tie either may come out on top; but only one can be certified.
            classes += not line["abstained"] and radius > 0
            continue
        mean = (line["estimation"][top] + hits) / (2 * n)
        error = math.sqrt(2 * mean * (1 - mean) / n)
        difference = abs(line["estimation"][top] - hits) / n
        largest = max(largest, difference / max(error, 1 / n))
    return classes, largest


def main():
    parser = argparse.ArgumentParser(description="rscert certify against PyTorch eager, in turn.")
    parser.add_argument("--model", required=True, help="ONNX export of lenet, mlp or resnet20 by pacd")
    parser.add_argument("--data", required=True, help="folder with MNIST or CIFAR-10")
    parser.add_argument("--rscert", default=HERE.parents[1] / "target/release/rscert", help="the program")
    parser.add_argument("--sigma", type=float, default=0.25)
    parser.add_argument("--n", type=int, default=20000, help="samples an image")
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--skip", type=int, default=20, help="take every so many-th image")
    parser.add_argument("--batches", type=int, nargs="+", default=[1000, 10000], help="batch sizes of PyTorch")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with torch.no_grad():
        name, network = read(options.model)
    pictures = images(options.data, options.images, options.skip)
    samples = len(pictures) * (options.n + SELECTION)
    times, ours, worst, classes = {size: [] for size in options.batches}, [], 0.0, 0
    for number in range(options.rounds):
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
        spent, certificates = by_rscert(options, number)
        ours.append(spent)
        for size in options.batches:
            spent, found = by_pytorch(network, pictures, options, size)
            times[size].append(spent)
            other, difference = disagreement(options.n, certificates, found)
            classes, worst = classes + other, max(worst, difference)
    print(f"{name}: {len(pictures)} images, n = {options.n}, {options.threads} thread(s), {options.rounds} rounds")
    print(f"{'':<22}{'seconds':>9}{'samples/s':>11}{'ratio':>8}{'from':>8}{'to':>8}{'processor':>11}")
    median = statistics.median(wall for wall, _ in ours)
    print(f"{'rscert':<22}{median:>9.2f}{samples / median:>11.0f}")
    for size in options.batches:
        ratios, used = (
            sorted(theirs[part] / own[part] for theirs, own in zip(times[size], ours)) for part in range(2)
        )
        median = statistics.median(wall for wall, _ in times[size])
        print(f"{f'PyTorch, batch {size}':<22}{median:>9.2f}{samples / median:>11.0f}", end="")
        print(f"{statistics.median(ratios):>8.2f}{ratios[0]:>8.2f}{ratios[-1]:>8.2f}{statistics.median(used):>11.2f}")
    print(f"certified as another class: {classes}; votes differ by at most {worst:.1f} standard errors")
    # One of a million such comparisons would come to 5 by chance.
    if classes or worst > 5:
        sys.exit("the two do not compute the same")


if __name__ == "__main__":
    main()
