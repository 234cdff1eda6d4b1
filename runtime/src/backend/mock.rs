use ndarray::{Array1, Array2, ArrayView2};

use super::{BackendError, Classifier};

/// A linear classifier in plain Rust: logits `W·x + b`.
///
/// Under Gaussian noise the probability of each of two classes is known in closed form, so tests can compare everything
/// above the engine with exact values. For weights w₁, w₂ the probability of the first class is Φ(((w₁−w₂)·x + b₁−b₂) /
/// (σ‖w₁−w₂‖)).
#[derive(Clone, Debug)]
pub struct LinearClassifier {
    weights: Array2<f32>,
    biases: Array1<f32>,
}

impl LinearClassifier {
    /// A classifier with weights K×F and K biases, for inputs of F values.
    ///
    /// # Panics
    /// If the number of biases is not the number of rows of the weights, or F is 0.
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
            return Err(problem(format!("{} values are not a whole number of inputs", batch.len())));
        }
        let inputs = ArrayView2::from_shape((count, self.input_len()), batch)
            .map_err(|error| problem(error.to_string()))?;
        logits.clear();
        logits.extend((inputs.dot(&self.weights.t()) + &self.biases).iter());
        Ok(())
    }
}
