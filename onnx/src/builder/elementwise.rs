use super::{GraphBuilder, Value, shapes::shape_error};
use crate::{Dim, OnnxError};

impl GraphBuilder {
    /// Rectified linear unit: max(x, 0) for each element x.
    pub fn relu(&mut self, input: &Value) -> Value {
        self.node("Relu", &[input], Vec::new(), input.shape.clone())
    }

    /// Sum of two values of the same shape, element by element.
    ///
    /// # Errors
    /// [`OnnxError::Shape`] if the shapes differ.
    pub fn add(&mut self, left: &Value, right: &Value) -> Result<Value, OnnxError> {
        if left.shape != right.shape {
            let text = |value: &Value| value.shape.iter().map(Dim::to_string).collect::<Vec<_>>().join(", ");
            return shape_error("Add", format!("[{}] meets [{}]", text(left), text(right)));
        }
        Ok(self.node("Add", &[left, right], Vec::new(), left.shape.clone()))
    }
}
