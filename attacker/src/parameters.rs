//! The parameters of a network, and anything of their shapes: a gradient, a direction, the solution of a linear
//! system. A vector in the mathematical sense, kept as one tensor a layer.

use tch::{Kind, Tensor, no_grad};

/// Tensors that together are one vector.
#[derive(Debug)]
pub struct Parameters(Vec<Tensor>);

impl Parameters {
    /// From tensors, in the order of the layers.
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

    /// Makes them leaves of a new graph, so that gradients can be taken with respect to them.
    #[must_use]
    pub fn requires_grad(self) -> Self {
        Self(self.0.into_iter().map(|tensor| tensor.detach().set_requires_grad(true)).collect())
    }

    /// A copy, without graph.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self(self.0.iter().map(|tensor| tensor.detach().copy()).collect())
    }

    /// Zeros of the same shapes.
    #[must_use]
    pub fn zeros_like(&self) -> Self {
        Self(self.0.iter().map(Tensor::zeros_like).collect())
    }

    /// Gradient of a scalar with respect to these parameters; zero for those it doesn't depend on.
    ///
    /// With `create_graph` the gradient can itself be differentiated; with `keep_graph` the scalar's graph stays for
    /// another use.
    #[must_use]
    pub fn gradient_of(&self, scalar: &Tensor, keep_graph: bool, create_graph: bool) -> Self {
        let gradient = Tensor::run_backward(&[scalar], &self.0, keep_graph || create_graph, create_graph);
        let or_zero = |(gradient, parameter): (Tensor, &Tensor)| {
            if gradient.defined() { gradient } else { parameter.zeros_like() }
        };
        Self(gradient.into_iter().zip(&self.0).map(or_zero).collect())
    }

    /// Inner product, as a scalar tensor that keeps its graph.
    pub fn dot(&self, other: &Self) -> Tensor {
        let parts: Vec<Tensor> = self.0.iter().zip(&other.0).map(|(a, b)| (a * b).sum(a.kind())).collect();
        Tensor::stack(&parts, 0).sum(parts[0].kind())
    }

    /// Inner product as a number, summed in double precision.
    pub fn dot_value(&self, other: &Self) -> f64 {
        no_grad(|| {
            let parts: Vec<Tensor> =
                self.0.iter().zip(&other.0).map(|(a, b)| (a * b).sum(Kind::Double)).collect();
            Tensor::stack(&parts, 0).sum(Kind::Double).double_value(&[])
        })
    }

    /// Euclidean norm.
    pub fn norm(&self) -> f64 {
        self.dot_value(self).sqrt()
    }

    /// `self + factor · other`.
    #[must_use]
    pub fn plus(&self, factor: f64, other: &Self) -> Self {
        no_grad(|| Self(self.0.iter().zip(&other.0).map(|(a, b)| a + b * factor).collect()))
    }

    /// Adds `factor · other` in place.
    pub fn add_scaled(&mut self, factor: f64, other: &Self) {
        no_grad(|| {
            for (a, b) in self.0.iter_mut().zip(&other.0) {
                let _ = a.g_add_(&(b * factor));
            }
        });
    }

    /// `factor · self`.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> Self {
        no_grad(|| Self(self.0.iter().map(|a| a * factor).collect()))
    }

    /// Whether every element is a finite number.
    pub fn is_finite(&self) -> bool {
        self.norm().is_finite()
    }
}
