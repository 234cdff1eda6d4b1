use ndarray::{Array1, Array2, ArrayView2};

use super::{BackendError, Classifier};

/// A linear classifier in plain Rust: logits `W·x + b`.
///
/// Under Gaussian noise the probability of each of two classes is known in closed form, which makes it the yardstick
/// for everything above the engine: for weights w₁, w₂ it is Φ(((w₁−w₂)·x + b₁−b₂) / (σ‖w₁−w₂‖)).
#[derive(Clone, Debug)]
pub struct LinearClassifier {
    weights: Array2<f32>,
    biases: Array1<f32>,
}

impl LinearClassifier {
    /// From weights K×F and biases K.
    ///
    /// # Panics
    /// If the number of biases is not that of the rows, or there are no features.
    pub fn new(weights: Array2<f32>, biases: Array1<f32>) -> Self {
        assert!(
            weights.nrows() == biases.len() && weights.ncols() > 0,
            "weights of shape {:?} and {} biases",
            weights.shape(),
            biases.len()
        );
        Self { weights, biases }
    }
}

impl Classifier for LinearClassifier {
    fn input_len(&self) -> usize {
        self.weights.ncols()
    }

    fn classes(&self) -> usize {
        self.biases.len()
    }

    fn logits(&mut self, batch: &[f32], logits: &mut Vec<f32>) -> Result<(), BackendError> {
        let count = batch.len() / self.input_len();
        let whole = count * self.input_len();
        let problem = |problem: String| BackendError::Run { batch: count, problem };
        if whole != batch.len() {
            return Err(problem(format!("{} values are no whole number of inputs", batch.len())));
        }
        let inputs = ArrayView2::from_shape((count, self.input_len()), batch)
            .map_err(|error| problem(error.to_string()))?;
        logits.clear();
        logits.extend((inputs.dot(&self.weights.t()) + &self.biases).iter());
        Ok(())
    }
}
