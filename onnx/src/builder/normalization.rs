use super::{
    GraphBuilder, Value,
    attributes::float,
    shapes::{batch_and_sizes, shape_error, sizes},
};
use crate::OnnxError;

/// Parameters of a batch normalisation with C channels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNorm<'a> {
    /// Scale γ, of shape C.
    pub scale: &'a Value,
    /// Shift β, of shape C.
    pub bias: &'a Value,
    /// Running mean μ, of shape C.
    pub mean: &'a Value,
    /// Running variance v, of shape C.
    pub variance: &'a Value,
    /// ε, added to the variance.
    pub epsilon: f32,
}

impl GraphBuilder {
    /// Batch normalisation with running statistics: `γ·(x − μ)/√(v + ε) + β` in each channel of N×C×H×W.
    ///
    /// # Errors
    /// [`OnnxError::Shape`] if the shapes don't fit together.
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
