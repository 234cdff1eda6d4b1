use super::{
    GraphBuilder, Value,
    attributes::ints,
    shapes::{batch_and_sizes, fixed, shape_error, sizes, window},
};
use crate::OnnxError;

/// Settings of a two-dimensional convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2d {
    /// Stride in both directions.
    pub stride: usize,
    /// Number of zeros added on every side.
    pub padding: usize,
}

impl GraphBuilder {
    /// Two-dimensional convolution: `input` N×C×H×W, `weight` K×C×R×S and `bias` K give N×K×H'×W'.
    ///
    /// # Errors
    /// [`OnnxError::Shape`] if the shapes don't fit together.
    pub fn conv2d(
        &mut self,
        input: &Value,
        weight: &Value,
        bias: Option<&Value>,
        settings: Conv2d,
    ) -> Result<Value, OnnxError> {
        let (n, [c, h, w]) = batch_and_sizes::<3>("Conv", input)?;
        let [k, wc, r, s] = sizes::<4>("Conv", weight)?;
        if c != wc {
            return shape_error("Conv", format!("{c} channels meet a weight for {wc}"));
        }
        if let Some(bias) = bias
            && sizes::<1>("Conv", bias)? != [k]
        {
            return shape_error("Conv", format!("{k} filters meet a bias of shape {:?}", bias.shape));
        }
        let out =
            |side: usize, kernel: usize| window("Conv", side + 2 * settings.padding, kernel, settings.stride);
        let shape = vec![n, fixed(k), fixed(out(h, r)?), fixed(out(w, s)?)];
        let attributes = vec![
            ints("kernel_shape", &[r, s]),
            ints("strides", &[settings.stride; 2]),
            ints("pads", &[settings.padding; 4]),
        ];
        let inputs: Vec<&Value> = [Some(input), Some(weight), bias].into_iter().flatten().collect();
        Ok(self.node("Conv", &inputs, attributes, shape))
    }
}
