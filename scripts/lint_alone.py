#!/usr/bin/env python3
"""Lints every crate of the workspace alone, with each of its sets of features, and looks whether the fuzz targets resolve.

A build of the whole workspace unites the features that its crates ask for, so a crate that lacks one of its own compiles
there and nowhere else. So does a crate whose tests ask for a feature that it lacks itself: alone it is linted as others
build it, without its tests, which the lint of the workspace covers. Features that nothing else leaves out are the
exception, there all targets are linted. Crates and features are those that cargo knows of; none has to be named here.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DENY = ["--", "-D", "warnings"]

# What else is named beside a crate. The tests need tract, whose build asks for a crate that torch-sys asks for a feature
# of, so that without the attacker it would all be compiled twice. The attacker asks for no feature of another crate here.
BESIDE = {"mithridate-tests": ["mithridate-attacker"]}


def packages():
    """The crates of the workspace, with their features and the flags for all that others build of them."""
    command = ["cargo", "metadata", "--no-deps", "--format-version", "1"]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)
    for package in sorted(metadata["packages"], key=lambda package: package["name"]):
        kinds = {kind for target in package["targets"] for kind in target["kind"]}
        flags = [flag for kind, flag in [("lib", "--lib"), ("bin", "--bins")] if kind in kinds]
        yield package["name"], package["features"], flags


def closure(features, feature):
    """What a feature switches on."""
    found, waiting = set(), [feature]
    while waiting:
        name = waiting.pop()
        if name in features and name not in found:
            found.add(name)
            waiting.extend(features[name])
    return frozenset(found - {"default"})


def feature_sets(features):
    """No features, and what each feature switches on: one set of those that amount to the same."""
    found = {frozenset(), *(closure(features, feature) for feature in features)}
    return sorted(found, key=lambda names: (len(names), sorted(names)))


def lint(name, arguments):
    started = time.monotonic()
    # The profile of the build and the lint of the workspace, so that what these need too is compiled once.
    command = ["cargo", "clippy", "--release", "--quiet", *arguments, *DENY]
    status = subprocess.run(command, cwd=ROOT, check=False).returncode
    print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)
    if status != 0:
        sys.exit(f"{name} does not lint alone: {' '.join(command)}")


def main():
    for name, features, own in packages():
        named = [flag for other in [name, *BESIDE.get(name, [])] for flag in ("--package", other)]
        for chosen in feature_sets(features):
            listed = ",".join(sorted(chosen))
            flags = ["--no-default-features", "--features", listed] if features else []
            targets = own if chosen == closure(features, "default") else ["--all-targets"]
            lint(f"{name} [{listed}]" if features else name, [*named, *targets, *flags])
    # The fuzz targets, of one line each, need a nightly compiler; what they call is the testkit's and linted with it.
    fuzz = ["cargo", "tree", "--locked", "--depth", "0", "--manifest-path", "fuzz/Cargo.toml"]
    if subprocess.run(fuzz, cwd=ROOT, check=False, stdout=subprocess.DEVNULL).returncode != 0:
        sys.exit(f"fuzz/Cargo.lock is not up to date: {' '.join(fuzz)}")


if __name__ == "__main__":
    main()
