//! The parameters of a network, and other vectors with the same shapes: a gradient, a direction, the solution of a
//! linear system. Mathematically each is one vector; it is stored as several tensors.

use tch::{Kind, Tensor, no_grad};

/// Whether the graph of a scalar is kept when its gradient is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Graph {
    /// It is freed.
    Free,
    /// It stays, for another gradient of the same scalar.
    Keep,
    /// It stays, and the gradient has a graph of its own, so that it can be differentiated in turn.
    Differentiable,
}

/// One vector that is stored as several tensors.
#[derive(Debug)]
pub struct Parameters(Vec<Tensor>);

impl Parameters {
    /// A vector of these tensors, in the order of the layers.
    pub fn new(tensors: Vec<Tensor>) -> Self {
        Self(tensors)
    }

    /// The tensors.
    pub fn tensors(&self) -> &[Tensor] {
        &self.0
    }

    /// The tensors, to be changed in place.
    pub fn tensors_mut(&mut self) -> &mut [Tensor] {
        &mut self.0
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.0.iter().map(Tensor::numel).sum()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The device of the tensors; the CPU if there are none.
    pub fn device(&self) -> tch::Device {
        self.0.first().map_or(tch::Device::Cpu, Tensor::device)
    }

    /// The same tensors as leaves of a new graph, so that gradients can be taken with respect to them.
    #[must_use]
    pub fn requires_grad(self) -> Self {
        Self(self.0.into_iter().map(|tensor| tensor.detach().set_requires_grad(true)).collect())
    }

    /// A copy without graph.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self(self.0.iter().map(|tensor| tensor.detach().copy()).collect())
    }

    /// The same tensors, sharing memory.
    #[must_use]
    pub fn shallow_clone(&self) -> Self {
        Self(self.0.iter().map(Tensor::shallow_clone).collect())
    }

    /// Overwrites the elements with those of another vector.
    pub fn assign(&mut self, other: &Self) {
        no_grad(|| {
            for (own, other) in self.0.iter_mut().zip(&other.0) {
                own.copy_(other);
            }
        });
    }

    /// Zeros of the same shapes.
    #[must_use]
    pub fn zeros_like(&self) -> Self {
        Self(self.0.iter().map(|tensor| tensor.detach().zeros_like()).collect())
    }

    /// Gradient of a scalar with respect to these parameters; 0 for parameters that it does not depend on.
    ///
    /// `graph` says whether the scalar's graph is kept.
    #[must_use]
    pub fn gradient_of(&self, scalar: &Tensor, graph: Graph) -> Self {
        if !scalar.requires_grad() {
            return self.zeros_like();
        }
        let (keep, create) = match graph {
            Graph::Free => (false, false),
            Graph::Keep => (true, false),
            Graph::Differentiable => (true, true),
        };
        let gradient = Tensor::run_backward(&[scalar], &self.0, keep, create);
        let or_zero = |(gradient, parameter): (Tensor, &Tensor)| {
            if gradient.defined() { gradient } else { parameter.detach().zeros_like() }
        };
        Self(gradient.into_iter().zip(&self.0).map(or_zero).collect())
    }

    /// Inner product, as a scalar tensor that keeps its graph.
    pub fn dot(&self, other: &Self) -> Tensor {
        let parts: Vec<Tensor> = self.0.iter().zip(&other.0).map(|(a, b)| (a * b).sum(a.kind())).collect();
        Tensor::stack(&parts, 0).sum(parts[0].kind())
    }

    /// Inner product without graph, summed in double precision: a scalar that stays on the device.
    pub fn dot_scalar(&self, other: &Self) -> Tensor {
        no_grad(|| {
            let parts: Vec<Tensor> =
                self.0.iter().zip(&other.0).map(|(a, b)| (a * b).sum(Kind::Double)).collect();
            Tensor::stack(&parts, 0).sum(Kind::Double)
        })
    }

    /// Euclidean norm as a scalar that stays on the device.
    pub fn norm_scalar(&self) -> Tensor {
        self.dot_scalar(self).sqrt()
    }

    /// Inner product as a number.
    pub fn dot_value(&self, other: &Self) -> f64 {
        self.dot_scalar(other).double_value(&[])
    }

    /// Euclidean norm as a number.
    pub fn norm(&self) -> f64 {
        self.norm_scalar().double_value(&[])
    }

    /// `self + factor · other`.
    #[must_use]
    pub fn plus(&self, factor: f64, other: &Self) -> Self {
        no_grad(|| Self(self.0.iter().zip(&other.0).map(|(a, b)| a + b * factor).collect()))
    }

    /// `self + factor · other` for a factor that is a scalar tensor on the same device.
    #[must_use]
    pub fn plus_scalar(&self, factor: &Tensor, other: &Self) -> Self {
        no_grad(|| {
            let sum = |(a, b): (&Tensor, &Tensor)| a.addcmul(b, &factor.to_kind(b.kind()));
            Self(self.0.iter().zip(&other.0).map(sum).collect())
        })
    }

    /// Adds `factor · other` in place.
    pub fn add_scaled(&mut self, factor: f64, other: &Self) {
        no_grad(|| {
            for (a, b) in self.0.iter_mut().zip(&other.0) {
                let _ = a.g_add_(&(b * factor));
            }
        });
    }

    /// Adds `factor · other` in place, for a factor that is a scalar tensor on the same device.
    pub fn add_scaled_by(&mut self, factor: &Tensor, other: &Self) {
        no_grad(|| {
            for (a, b) in self.0.iter_mut().zip(&other.0) {
                let _ = a.addcmul_(b, &factor.to_kind(b.kind()));
            }
        });
    }

    /// `factor · self`.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> Self {
        no_grad(|| Self(self.0.iter().map(|a| a * factor).collect()))
    }

    /// `factor · self` for a factor that is a scalar tensor on the same device.
    #[must_use]
    pub fn scaled_by(&self, factor: &Tensor) -> Self {
        no_grad(|| Self(self.0.iter().map(|a| a * factor.to_kind(a.kind())).collect()))
    }

    /// `other` if `condition`, a boolean scalar on the same device, is true, else `self`.
    #[must_use]
    pub fn or(&self, condition: &Tensor, other: &Self) -> Self {
        no_grad(|| Self(self.0.iter().zip(&other.0).map(|(a, b)| b.where_self(condition, a)).collect()))
    }

    /// Whether every element is a finite number.
    pub fn is_finite(&self) -> bool {
        self.norm().is_finite()
    }

    /// Whether every element is a finite number, as a boolean scalar that stays on the device.
    pub fn is_finite_scalar(&self) -> Tensor {
        self.norm_scalar().isfinite()
    }
}
