use super::{
    GraphBuilder, Value,
    attributes::int,
    shapes::{batch_and_sizes, fixed, shape_error, sizes},
};
use crate::OnnxError;

impl GraphBuilder {
    /// Flattens all dimensions after the first: N×A×B×… becomes N×(A·B·…).
    ///
    /// # Errors
    /// [`OnnxError::Shape`] if a dimension after the first is not fixed.
    pub fn flatten(&mut self, input: &Value) -> Result<Value, OnnxError> {
        let mut features = 1;
        for dim in input.shape.iter().skip(1) {
            match dim.size() {
                Some(size) => features *= size,
                None => return shape_error("Flatten", format!("dimension {dim} is not fixed")),
            }
        }
        let Some(batch) = input.shape.first().cloned() else {
            return shape_error("Flatten", "a scalar has no batch dimension".into());
        };
        Ok(self.node("Flatten", &[input], vec![int("axis", 1)], vec![batch, fixed(features)]))
    }

    /// Fully connected layer `x·Wᵀ + b`: `input` N×F, `weight` K×F and `bias` K give N×K.
    ///
    /// # Errors
    /// [`OnnxError::Shape`] if the shapes don't fit together.
    pub fn linear(
        &mut self,
        input: &Value,
        weight: &Value,
        bias: Option<&Value>,
    ) -> Result<Value, OnnxError> {
        let (n, [features]) = batch_and_sizes::<1>("Gemm", input)?;
        let [k, expected] = sizes::<2>("Gemm", weight)?;
        if features != expected {
            return shape_error("Gemm", format!("{features} features meet a weight for {expected}"));
        }
        if let Some(bias) = bias
            && sizes::<1>("Gemm", bias)? != [k]
        {
            return shape_error("Gemm", format!("{k} outputs meet a bias of shape {:?}", bias.shape));
        }
        let inputs: Vec<&Value> = [Some(input), Some(weight), bias].into_iter().flatten().collect();
        Ok(self.node("Gemm", &inputs, vec![int("transB", 1)], vec![n, fixed(k)]))
    }
}
