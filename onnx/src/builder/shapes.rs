use super::Value;
use crate::{Dim, OnnxError};

pub(super) fn shape_error<T>(operator: &'static str, problem: String) -> Result<T, OnnxError> {
    Err(OnnxError::Shape { operator, problem })
}

pub(super) fn fixed(size: usize) -> Dim {
    Dim::Fixed(size as i64)
}

pub(super) fn sizes<const N: usize>(operator: &'static str, value: &Value) -> Result<[usize; N], OnnxError> {
    let sizes: Option<Vec<usize>> = value.shape.iter().map(Dim::size).collect();
    sizes.and_then(|sizes| sizes.try_into().ok()).map_or_else(
        || {
            shape_error(
                operator,
                format!("{} needs {N} fixed dimensions and has {:?}", value.name, value.shape),
            )
        },
        Ok,
    )
}

pub(super) fn batch_and_sizes<const N: usize>(
    operator: &'static str,
    value: &Value,
) -> Result<(Dim, [usize; N]), OnnxError> {
    let Some((batch, rest)) = value.shape.split_first() else {
        return shape_error(operator, format!("{} has no batch dimension", value.name));
    };
    let rest = Value { shape: rest.to_vec(), ..value.clone() };
    Ok((batch.clone(), sizes::<N>(operator, &rest)?))
}

pub(super) fn window(
    operator: &'static str,
    side: usize,
    kernel: usize,
    stride: usize,
) -> Result<usize, OnnxError> {
    if kernel == 0 || stride == 0 || kernel > side {
        return shape_error(operator, format!("a window of {kernel} with stride {stride} on {side} pixels"));
    }
    Ok((side - kernel) / stride + 1)
}
