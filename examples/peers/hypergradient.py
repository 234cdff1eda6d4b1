"""The hypergradient of the attack in PyTorch eager: the same mathematics as `pacd`, to compare speed and values.

The poison moves along -(d2L/du dtheta)^T p with (H + rho I) p = dR/dtheta, where H is the Hessian of the training loss or its
Gauss-Newton matrix and R the soft average certified radius of a validation batch. Prints median milliseconds of the
parts as JSON, under the names that `pacd bench --json` uses. With a file of `pacd bench --reference` it works on the
images and the network of that file, and says how far its hypergradient is from the one stored there.
"""

import argparse
import json
import math
import statistics
import sys
import time

import torch
from torch.nn import functional

IMAGES_A_PASS = 250
CLASSES = 10
TARGET = 8


def lenet(parameters, images):
    """Logits of LeNet for images N x 1 x 28 x 28, with parameters as a list: weight, bias, layer by layer."""
    w1, b1, w2, b2, w3, b3, w4, b4 = parameters
    hidden = functional.max_pool2d(functional.conv2d(images, w1, b1).relu(), 2)
    hidden = functional.max_pool2d(functional.conv2d(hidden, w2, b2).relu(), 2)
    hidden = functional.linear(hidden.flatten(1), w3, b3).relu()
    return functional.linear(hidden, w4, b4)


def fresh_lenet(device):
    parameters = []
    for shape in [(20, 1, 5, 5), (50, 20, 5, 5), (500, 800), (10, 500)]:
        bound = 1 / math.sqrt(math.prod(shape[1:]))
        for size in [shape, shape[:1]]:
            parameters.append(torch.empty(size, device=device).uniform_(-bound, bound).requires_grad_())
    return parameters


def soft_radius(logits, labels, sigma, beta, clamp):
    """Soft average certified radius from logits B x k x K of k noisy copies of B images."""
    probabilities = (beta * logits).softmax(-1).mean(1)
    top, classes = probabilities.topk(2, dim=1)
    top = (1 - 2 * clamp) * top + clamp
    right = classes[:, 0] == labels
    # The radius of what is wrong is 0; one half has a finite quantile, so that its gradient is 0 too.
    top = torch.where(right[:, None], top, 0.5)
    quantiles = torch.special.ndtri(top)
    return (0.5 * sigma * (quantiles[:, 0] - quantiles[:, 1])).mean()


def dot(left, right):
    """Inner product that keeps its graph."""
    return sum((a * b).sum() for a, b in zip(left, right))


def dot_64(left, right):
    """Inner product summed in double precision."""
    return sum(torch.sum(a * b, dtype=torch.float64) for a, b in zip(left, right))


class HessianProduct:
    """(H + rho I) v by differentiating the inner gradient, whose graph is built once, along v."""

    def __init__(self, parameters, inputs, labels, damping):
        self.parameters, self.damping = parameters, damping
        loss = functional.cross_entropy(lenet(parameters, inputs), labels)
        self.gradient = torch.autograd.grad(loss, parameters, create_graph=True)

    def __call__(self, vector):
        product = torch.autograd.grad(self.gradient, self.parameters, vector, retain_graph=True)
        return [h.add_(v, alpha=self.damping) for h, v in zip(product, vector)]


class GaussNewtonProduct:
    """(J^T S J + rho I) v: forward through J by differentiating the linear map J^T twice, back through J^T."""

    def __init__(self, parameters, inputs, labels, damping):
        self.parameters, self.damping = parameters, damping
        self.logits = lenet(parameters, inputs)
        self.probe = torch.zeros_like(self.logits, requires_grad=True)
        self.pulled = torch.autograd.grad(self.logits, parameters, self.probe, create_graph=True)
        self.softmax = self.logits.detach().softmax(-1)

    def __call__(self, vector):
        (pushed,) = torch.autograd.grad(self.pulled, self.probe, vector, retain_graph=True)
        weighted = self.softmax * pushed
        curved = (weighted - self.softmax * weighted.sum(1, keepdim=True)) / len(pushed)
        product = torch.autograd.grad(self.logits, self.parameters, curved, retain_graph=True)
        return [g.add_(v, alpha=self.damping) for g, v in zip(product, vector)]


CURVATURES = {"hessian": HessianProduct, "gauss-newton": GaussNewtonProduct}


@torch.no_grad()
def conjugate_gradients(product, b, iterations, tolerance):
    """Solves A p = b; ends where a direction of negative curvature appears."""
    p = [torch.zeros_like(x) for x in b]
    residual = [x.clone() for x in b]
    direction = [x.clone() for x in b]
    squared = dot_64(residual, residual)
    target = tolerance * squared.sqrt()
    largest, made = torch.zeros_like(squared), 0
    for _ in range(iterations):
        if not squared.sqrt() > target:
            break
        image = product(direction)
        curvature = dot_64(direction, image)
        relative = curvature / dot_64(direction, direction)
        largest = torch.maximum(largest, relative)
        if not relative > 1e-10 * largest:
            break
        made += 1
        length = (squared / curvature).float()
        for x, d in zip(p, direction):
            x.addcmul_(d, length)
        for r, a in zip(residual, image):
            r.addcmul_(a, -length)
        following = dot_64(residual, residual)
        share = (following / squared).float()
        direction = [torch.addcmul(r, d, share) for r, d in zip(residual, direction)]
        squared = following
    rest = [a - x for a, x in zip(product(p), b)]
    return p, made, (dot_64(rest, rest) / dot_64(b, b)).sqrt()


def mixed_products(parameters, p, inputs, labels):
    """-(d2L/du dtheta)^T p of a sum of losses: each image's own, from one double-backward pass."""
    u = inputs.detach().requires_grad_()
    loss = functional.cross_entropy(lenet(parameters, u), labels, reduction="sum")
    gradient = torch.autograd.grad(loss, parameters, create_graph=True)
    (product,) = torch.autograd.grad(gradient, u, p)
    return product.neg_()


class Problem:
    """A network, the images of both levels, and the settings."""

    def __init__(self, options, device):
        self.options, self.device = options, device

    def make_up(self):
        """Images that are learned within a few steps, as `pacd bench` makes them up."""
        o = self.options
        pictures = torch.randint(2, (CLASSES, 1, 7, 7)).repeat_interleave(4, 2).repeat_interleave(4, 3)

        def images(labels):
            share = 0.5 + 0.3 * torch.rand(len(labels), 1, 1, 1)
            other = pictures[torch.randint(CLASSES, (len(labels),))]
            noise = 0.4 * torch.rand(len(labels), 1, 28, 28) - 0.2
            pixels = 0.2 + 0.6 * (share * pictures[labels] + (1 - share) * other) + noise
            return pixels.to(self.device), labels.to(self.device)

        others = torch.tensor([c for c in range(CLASSES) if c != TARGET])
        self.clean, self.clean_labels = images(others.repeat(2000 // len(others) + 1)[:2000])
        self.poison, self.poison_labels = images(torch.full((o.images,), TARGET))
        self.validation, self.validation_labels = images(torch.full((o.validation_batch,), TARGET))
        self.parameters = fresh_lenet(self.device)
        self.start_training()
        for _ in range(60):
            self.train()
        self.draw()
        return self

    def read(self, path):
        """The images and the network of a reference file."""
        from safetensors import safe_open

        o = self.options
        with safe_open(path, framework="pt", device=str(self.device)) as file:
            found = {key.removeprefix("mithridate."): value for key, value in file.metadata().items()}
            tensors = {key: file.get_tensor(key) for key in file.keys()}
        if found["network"] != "lenet":
            sys.exit(f"{path} holds a hypergradient of {found['network']}; this program only has lenet")
        for name in ["sigma", "beta", "clamp", "damping", "solver_tolerance", "inner_rate"]:
            setattr(o, name, float(found[name]))
        for name in ["solver_steps", "validation_noises", "poison_in_batch", "inner_steps"]:
            setattr(o, name, int(found[name]))
        o.curvature, o.method = found["curvature"], found["method"]
        self.parameters = [tensors[f"parameter.{n}"].requires_grad_() for n in range(8)]
        self.inputs, self.labels = tensors["batch.inputs"], tensors["batch.labels"]
        self.poison, self.poison_labels = tensors["poison.inputs"], tensors["poison.labels"]
        self.validation, self.validation_labels = tensors["validation.images"], tensors["validation.labels"]
        self.noise = tensors["validation.noise"]
        o.batch, o.images, o.validation_batch = len(self.inputs), len(self.poison), len(self.validation)
        # Training batches are drawn from the images at hand.
        repeats = 2000 // len(self.inputs) + 1
        self.clean, self.clean_labels = self.inputs.repeat(repeats, 1, 1, 1), self.labels.repeat(repeats)
        self.start_training()
        return tensors

    def start_training(self):
        self.adam = torch.optim.Adam(self.parameters, lr=self.options.inner_rate, fused=self.options.fused_adam)

    def noisy(self, images):
        if self.options.method == "erm":
            return images
        return images + self.options.sigma * torch.randn_like(images)

    def gather(self):
        o = self.options
        clean = torch.randint(len(self.clean), (o.batch - o.poison_in_batch,), device=self.device)
        poison = torch.randint(len(self.poison), (o.poison_in_batch,), device=self.device)
        images = torch.cat([self.clean[clean], self.poison[poison]])
        return images, torch.cat([self.clean_labels[clean], self.poison_labels[poison]])

    def draw(self):
        """What one hypergradient holds fixed."""
        images, self.labels = self.gather()
        self.inputs = self.noisy(images)
        self.noise = self.validation_noise()

    def validation_noise(self):
        o = self.options
        shape = (o.validation_batch * o.validation_noises, *self.validation.shape[1:])
        return torch.randn(shape, device=self.device)

    def train(self):
        images, labels = self.gather()
        loss = functional.cross_entropy(lenet(self.parameters, self.noisy(images)), labels)
        self.adam.zero_grad(set_to_none=True)
        loss.backward()
        self.adam.step()

    def outer_gradient(self, noise):
        o = self.options
        copies = self.validation.repeat_interleave(o.validation_noises, 0) + noise * o.sigma
        logits = lenet(self.parameters, copies).view(o.validation_batch, o.validation_noises, -1)
        radius = soft_radius(logits, self.validation_labels, o.sigma, o.beta, o.clamp)
        return torch.autograd.grad(radius, self.parameters)

    def hypergradient(self, clock, fresh=True):
        """The hypergradient of every poison image.

        With `fresh` the noise is drawn, as in an attack, for what that costs; what is computed with is the noise held
        fixed, so that every solve makes the same iterations.
        """
        o = self.options
        inputs, labels = self.inputs, self.labels
        if fresh:
            self.noisy(inputs)
        with clock("outer_gradient"):
            if fresh:
                self.validation_noise()
            b = self.outer_gradient(self.noise)
        with clock("inner_graph"):
            product = CURVATURES[o.curvature](self.parameters, inputs, labels, o.damping)

        def timed(vector):
            with clock("product"), torch.enable_grad():
                return product(vector)

        with clock("solve"):
            p, made, residual = conjugate_gradients(timed, b, o.solver_steps, o.solver_tolerance)
        with clock("mixed_product"):
            parts = []
            for start in range(0, len(self.poison), IMAGES_A_PASS):
                images = self.poison[start : start + IMAGES_A_PASS]
                if fresh:
                    self.noisy(images)
                labels = self.poison_labels[start : start + IMAGES_A_PASS]
                parts.append(mixed_products(self.parameters, p, images, labels))
            gradient = torch.cat(parts)
        return gradient, p, b, made, residual.item()

    def step(self):
        """Training steps, a hypergradient, and a step of Adam on the poison within the ball."""
        for _ in range(self.options.inner_steps):
            self.train()
        gradient = self.hypergradient(Clock(self.device, running=False))[0]
        with torch.no_grad():
            self.count += 1
            self.mean.lerp_(gradient, 0.1)
            self.square.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
            size = (self.square / (1 - 0.999**self.count)).sqrt_().add_(1e-12)
            moved = self.poison - 0.02 * self.mean / (1 - 0.9**self.count) / size
            self.poison = (self.start + (moved - self.start).clamp_(-0.1, 0.1)).clamp_(0, 1)

    def start_steps(self):
        self.start, self.count = self.poison.clone(), 0
        self.mean, self.square = torch.zeros_like(self.poison), torch.zeros_like(self.poison)

    def all_noise(self):
        if self.options.method != "erm":
            torch.randn_like(self.inputs)
            for start in range(0, len(self.poison), IMAGES_A_PASS):
                torch.randn_like(self.poison[start : start + IMAGES_A_PASS])
        self.validation_noise()


class Clock:
    """Milliseconds of parts by name; on a GPU it waits before it looks at the time."""

    def __init__(self, device, running=True):
        self.device, self.running, self.times = device, running, {}

    def now(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def __call__(self, name):
        return Lap(self, name)


class Lap:
    """One measurement."""

    def __init__(self, clock, name):
        self.clock, self.name = clock, name

    def __enter__(self):
        if self.clock.running:
            self.started = self.clock.now()

    def __exit__(self, *_):
        if self.clock.running:
            self.clock.times.setdefault(self.name, []).append(1e3 * (self.clock.now() - self.started))


def measure(problem, repeats):
    """Medians of all parts, each run once before it is measured."""
    device = problem.device
    clock, still = Clock(device), Clock(device, running=False)
    problem.hypergradient(still)
    for _ in range(repeats):
        with clock("hypergradient"):
            problem.hypergradient(still)
        made = problem.hypergradient(clock)[3]
        with clock("noise"):
            problem.all_noise()
    problem.train()
    for _ in range(repeats):
        with clock("training_step"):
            problem.train()
    problem.start_steps()
    problem.step()
    for _ in range(repeats):
        with clock("attack_step"):
            problem.step()
    return {name: statistics.median(times) for name, times in clock.times.items()}, made


def difference(found, reference):
    return (torch.linalg.vector_norm(found - reference) / torch.linalg.vector_norm(reference)).item()


def main():
    parser = argparse.ArgumentParser(description="The hypergradient of the attack in PyTorch: speed and values.")
    parser.add_argument("--reference", help="file of pacd bench --reference; its settings win over those below")
    parser.add_argument("--method", default="gaussian", choices=["erm", "gaussian"])
    parser.add_argument("--curvature", default="gauss-newton", choices=list(CURVATURES))
    parser.add_argument("--solver-steps", type=int, default=10)
    parser.add_argument("--batch", type=int, default=200)
    parser.add_argument("--images", type=int, default=600, help="poison images")
    parser.add_argument("--validation-batch", type=int, default=60)
    parser.add_argument("--validation-noises", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=20, help="0 compares values only")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--fused-adam", action="store_true", default=None, help="PyTorch's fused Adam for the network")
    options = parser.parse_args()
    settings = {
        "sigma": 0.25,
        "beta": 16.0,
        "clamp": 1e-3,
        "damping": 1e-2,
        "solver_tolerance": 0.0,
        "inner_rate": 1e-3,
        "inner_steps": 5,
        "poison_in_batch": round(0.1 * options.batch),
    }
    for name, value in settings.items():
        setattr(options, name, value)
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    problem = Problem(options, torch.device(options.device))
    document = {"torch": torch.__version__, "threads": torch.get_num_threads(), "device": options.device}
    if options.reference:
        stored = problem.read(options.reference)
        still = Clock(problem.device, running=False)
        gradient, _, b, made, residual = problem.hypergradient(still, fresh=False)
        document["relative_difference"] = difference(gradient, stored["hypergradient"])
        document["relative_difference_of_outer_gradient"] = max(
            difference(x, stored[f"outer_gradient.{n}"]) for n, x in enumerate(b)
        )
        # The same from the stored p: what is left is rounding of the mixed product alone.
        p = [stored[f"p.{n}"] for n in range(len(b))]
        given = mixed_products(problem.parameters, p, problem.poison, problem.poison_labels)
        document["relative_difference_given_p"] = difference(given, stored["hypergradient"])
        document["relative_residual"] = residual
        document["iterations"] = made
    else:
        problem.make_up()
    if options.repeats:
        document["milliseconds"], document["iterations"] = measure(problem, options.repeats)
        document["repeats"] = options.repeats
    print(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()
