use super::{
    GraphBuilder, Value,
    attributes::ints,
    shapes::{batch_and_sizes, fixed, window},
};
use crate::OnnxError;

/// Settings of a two-dimensional pooling window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool2d {
    /// Side of the square window.
    pub kernel: usize,
    /// Stride in both directions.
    pub stride: usize,
}

impl GraphBuilder {
    /// Max pooling: the largest value in each window.
    ///
    /// # Errors
    /// [`OnnxError::Shape`] if the window is larger than the image.
    pub fn max_pool2d(&mut self, input: &Value, settings: Pool2d) -> Result<Value, OnnxError> {
        let (n, [c, h, w]) = batch_and_sizes::<3>("MaxPool", input)?;
        let out = |side: usize| window("MaxPool", side, settings.kernel, settings.stride);
        let shape = vec![n, fixed(c), fixed(out(h)?), fixed(out(w)?)];
        let attributes =
            vec![ints("kernel_shape", &[settings.kernel; 2]), ints("strides", &[settings.stride; 2])];
        Ok(self.node("MaxPool", &[input], attributes, shape))
    }

    /// Global average pooling: the mean of each channel, N×C×H×W to N×C×1×1.
    ///
    /// # Errors
    /// [`OnnxError::Shape`] if the shape of the input is not N×C×H×W.
    pub fn global_average_pool(&mut self, input: &Value) -> Result<Value, OnnxError> {
        let (n, [c, _, _]) = batch_and_sizes::<3>("GlobalAveragePool", input)?;
        Ok(self.node("GlobalAveragePool", &[input], Vec::new(), vec![n, fixed(c), fixed(1), fixed(1)]))
    }
}
