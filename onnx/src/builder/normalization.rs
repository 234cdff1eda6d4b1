use super::{
    GraphBuilder, Value,
    attributes::float,
    shapes::{batch_and_sizes, shape_error, sizes},
};
use crate::OnnxError;

/// What a batch normalisation knows of each of its C channels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNorm<'a> {
    /// Scale γ, C.
    pub scale: &'a Value,
    /// Shift β, C.
    pub bias: &'a Value,
    /// Running mean μ, C.
    pub mean: &'a Value,
    /// Running variance v, C.
    pub variance: &'a Value,
    /// Added to the variance, ε.
    pub epsilon: f32,
}

impl GraphBuilder {
    /// Batch normalisation with running statistics: `γ·(x − μ)/√(v + ε) + β` in each channel of N×C×H×W.
    ///
    /// # Errors
    /// [`OnnxError::Shape`] if the shapes don't fit.
    pub fn batch_normalization(&mut self, input: &Value, norm: BatchNorm<'_>) -> Result<Value, OnnxError> {
        let operator = "BatchNormalization";
        let (_, [c, _, _]) = batch_and_sizes::<3>(operator, input)?;
        let BatchNorm { scale, bias, mean, variance, epsilon } = norm;
        for (what, value) in [("scale", scale), ("bias", bias), ("mean", mean), ("variance", variance)] {
            if sizes::<1>(operator, value)? != [c] {
                return shape_error(
                    operator,
                    format!("{c} channels meet a {what} of shape {:?}", value.shape),
                );
            }
        }
        let inputs = [input, scale, bias, mean, variance];
        Ok(self.node(operator, &inputs, vec![float("epsilon", epsilon)], input.shape.clone()))
    }
}
