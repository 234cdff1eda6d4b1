//! Batch normalisation in training and evaluation: running statistics by hand, derivatives of both orders against
//! central differences, and whether graphs outlive changes of the statistics. In double precision.

#![allow(clippy::unwrap_used)]

use mithridate_attacker::{
    networks::{Architecture, Layer, Network, Statistics},
    parameters::{Graph, Parameters},
    random::{Domain, Purpose, Random},
    training::cross_entropy,
};
use tch::{Device, Kind, Reduction, Tensor};

fn random(shape: &[i64], key: u64) -> Tensor {
    Random::new(Domain::Data, 31)
        .normal(Purpose::TrainingNoise, key, shape, Device::Cpu)
        .to_kind(Kind::Double)
}

/// A ResNet-20 for 2×6×6 images in double precision, with running statistics of its own.
fn network() -> Network {
    let random = Random::new(Domain::Data, 8);
    let network = Network::new(Architecture::ResNet20, [2, 6, 6], 3, random, Device::Cpu).unwrap();
    let network = network.to_kind(Kind::Double);
    for key in 0..5 {
        let _ = network.forward_training(&images(100 + key));
    }
    network
}

fn images(key: u64) -> Tensor {
    random(&[4, 2, 6, 6], key)
}

fn loss(logits: &Tensor) -> Tensor {
    cross_entropy(logits, &Tensor::from_slice(&[0_i64, 2, 1, 1]), Reduction::Mean)
}

/// A direction in the space of the parameters.
fn direction(parameters: &Parameters) -> Parameters {
    let of = |(tensor, key): (&Tensor, u64)| random(&tensor.size(), key);
    Parameters::new(parameters.tensors().iter().zip(500..).map(of).collect())
}

/// Derivative of `gradient` along `v`, by central differences.
fn difference(at: &Parameters, v: &Parameters, gradient: impl Fn(&Parameters) -> Parameters) -> Parameters {
    // Small, since every unit of the network that crosses 0 on the way adds a jump.
    let h = 1e-8;
    let side = |step: f64| gradient(&at.plus(step, v).requires_grad());
    side(h).plus(-1.0, &side(-h)).scaled(0.5 / h)
}

fn assert_close(found: &Parameters, expected: &Parameters, tolerance: f64, what: &str) {
    let error = found.plus(-1.0, expected).norm() / expected.norm();
    assert!(expected.norm() > 1e-3 && error < tolerance, "{what}: relative error {error}");
}

#[test]
fn running_statistics_follow_the_batch_by_a_tenth() {
    let layer = Layer::BatchNorm2d { channels: 1 };
    let parameters = [Tensor::from_slice(&[2.0_f64]), Tensor::from_slice(&[1.0_f64])];
    let buffers = [Tensor::from_slice(&[0.5_f64]), Tensor::from_slice(&[3.0_f64])];
    let input = Tensor::from_slice(&[1.0_f64, 2.0, 3.0, 6.0]).view([2, 1, 1, 2]);
    let value = |tensor: &Tensor, position: i64| tensor.view([-1]).double_value(&[position]);

    // By the running statistics: γ (x − 0.5) / √(3 + ε) + β.
    let output = layer.forward(&parameters, &buffers, &input, Statistics::Running);
    assert!((value(&output, 3) - (2.0 * 5.5 / 3.00001_f64.sqrt() + 1.0)).abs() < 1e-12);
    assert_eq!((value(&buffers[0], 0), value(&buffers[1], 0)), (0.5, 3.0));

    // The batch has mean 3, variance (4 + 1 + 0 + 9) / 4 = 3.5, unbiased 14 / 3.
    let output = layer.forward(&parameters, &buffers, &input, Statistics::Batch);
    assert!((value(&output, 3) - (2.0 * 3.0 / 3.50001_f64.sqrt() + 1.0)).abs() < 1e-12);
    assert!((value(&buffers[0], 0) - (0.9 * 0.5 + 0.1 * 3.0)).abs() < 1e-12);
    assert!((value(&buffers[1], 0) - (0.9 * 3.0 + 0.1 * 14.0 / 3.0)).abs() < 1e-12);
}

#[test]
fn second_derivatives_of_the_layer_are_central_differences() {
    let layer = Layer::BatchNorm2d { channels: 3 };
    let buffers = [random(&[3], 1), random(&[3], 2).square() + 0.3];
    let weights = random(&[4, 3, 2, 2], 3);
    for statistics in [Statistics::Running, Statistics::Batch] {
        // Parameters of the check: input, γ, β.
        let at = Parameters::new(vec![random(&[4, 3, 2, 2], 4), random(&[3], 5), random(&[3], 6)]);
        let gradient = |at: &Parameters, graph| {
            let [input, own @ ..] = at.tensors() else { panic!("three tensors") };
            let buffers = buffers.each_ref().map(Tensor::copy);
            let output = layer.forward(own, &buffers, input, statistics);
            at.gradient_of(&(output.sin() * &weights).sum(Kind::Double), graph)
        };
        let v = direction(&at);
        let at = at.requires_grad();
        let product = at.gradient_of(&gradient(&at, Graph::Differentiable).dot(&v), Graph::Free);
        let numeric = difference(&at, &v, |at| gradient(at, Graph::Free));
        assert_close(&product, &numeric, 1e-6, &format!("{statistics:?}"));
    }
}

#[test]
fn hessian_products_of_a_residual_network_are_central_differences_in_evaluation() {
    let (network, x) = (network(), images(1));
    let gradient = |at: &Parameters, graph| at.gradient_of(&loss(&network.forward_with(at, &x)), graph);
    let at = network.parameters();
    let v = direction(at);
    let product = at.gradient_of(&gradient(at, Graph::Differentiable).dot(&v), Graph::Free);
    assert_close(&product, &difference(at, &v, |at| gradient(at, Graph::Free)), 1e-6, "evaluation");
}

#[test]
fn hessian_products_of_a_residual_network_are_central_differences_in_training() {
    let (network, x) = (network(), images(1));
    let v = direction(network.parameters());
    let gradient = |network: &Network, graph| {
        let logits = network.forward_training(&x);
        network.parameters().gradient_of(&loss(&logits), graph)
    };
    let at = network.parameters();
    let product = at.gradient_of(&gradient(&network, Graph::Differentiable).dot(&v), Graph::Free);
    let numeric = difference(at, &v, |moved| {
        let mut there = network.copy();
        *there.parameters_mut() = moved.copy().requires_grad();
        gradient(&there, Graph::Free)
    });
    assert_close(&product, &numeric, 1e-6, "training");
}

#[test]
fn mixed_derivatives_reach_the_images() {
    let (network, x) = (network(), images(2));
    let v = direction(network.parameters());
    let inner = |x: &Tensor| {
        let gradient = network.parameters().gradient_of(&loss(&network.forward(x)), Graph::Differentiable);
        gradient.dot(&v)
    };
    let leaf = Parameters::new(vec![x.copy()]).requires_grad();
    let exact = leaf.gradient_of(&inner(&leaf.tensors()[0]), Graph::Free);
    let step = random(&x.size(), 77);
    let h = 1e-7;
    let numeric = (inner(&(&x + &step * h)) - inner(&(&x - &step * h))).double_value(&[]) / (2.0 * h);
    let found = exact.dot_value(&Parameters::new(vec![step]));
    assert!((found - numeric).abs() < 1e-5 * numeric.abs().max(1e-2), "{found} {numeric}");
}

#[test]
fn a_graph_keeps_the_statistics_it_was_made_with() {
    let (network, x) = (network(), images(3));
    let before = network.parameters().gradient_of(&loss(&network.forward(&x)), Graph::Free);
    let later = loss(&network.forward(&x));
    let two_batches = loss(&network.forward_training(&x)) + loss(&network.forward_training(&images(4)));
    let after = network.parameters().gradient_of(&later, Graph::Free);
    assert_eq!(before.tensors(), after.tensors());
    assert!(network.parameters().gradient_of(&two_batches, Graph::Free).is_finite());
    let now = network.parameters().gradient_of(&loss(&network.forward(&x)), Graph::Free);
    assert_ne!(before.tensors(), now.tensors());
}

#[test]
fn evaluation_leaves_the_statistics_and_other_images_alone() {
    let (network, x) = (network(), images(5));
    let statistics = network.buffers().copy();
    let together = network.forward(&x);
    assert_eq!(statistics.tensors(), network.buffers().tensors());
    let alone = network.forward(&x.narrow(0, 2, 1));
    let distance = (together.narrow(0, 2, 1) - alone).abs().max().double_value(&[]);
    assert!(distance < 1e-12, "{distance}");
}

#[test]
fn copies_share_nothing() {
    let network = network();
    let x = images(6);
    let (logits, statistics) = (network.forward(&x), network.buffers().copy());
    for kind in [None, Some(Kind::Double)] {
        let mut copy = kind.map_or_else(|| network.copy(), |kind| network.to_kind(kind));
        assert_eq!(copy.forward(&x), logits);
        assert!(copy.parameters().tensors().iter().all(|tensor| tensor.is_leaf() && tensor.requires_grad()));
        assert!(!copy.buffers().tensors().iter().any(Tensor::requires_grad));
        let v = direction(copy.parameters());
        copy.parameters_mut().add_scaled(0.1, &v);
        let _ = copy.forward_training(&x);
        assert_ne!(copy.forward(&x), logits);
        assert_eq!(network.forward(&x), logits);
        assert_eq!(network.buffers().tensors(), statistics.tensors());
    }
    let mut other = network.parameters().copy();
    other.add_scaled(0.1, &direction(&other));
    let mut moved = network.copy();
    *moved.parameters_mut() = other.copy().requires_grad();
    assert_eq!(network.forward_with(&other, &x), moved.forward(&x));
    assert_ne!(network.forward_with(&other, &x), logits);
}
