use mithridate_onnx::{Dim, ElementType, ModelSummary, ValueSummary};

use super::{InputOptions, MAX_VALUES};
use crate::backend::{InputPrecision, Layout, Preprocessing};

/// Default height and width in pixels to test a model whose input leaves them open.
const SIDE: usize = 32;

/// Input and output of a classifier, as far as its file describes them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Signature {
    /// The input, as the file describes it.
    pub input: ValueSummary,
    /// Name and element type of the output.
    pub output: ValueSummary,
    /// The batch size, if it is fixed.
    pub batch: Option<usize>,
    /// Shape of an input of the model, without the batch.
    pub dims: Vec<usize>,
    /// Shape of an image: channels, height, width.
    pub image: [usize; 3],
    /// Order of the dimensions.
    pub layout: Layout,
}

impl Signature {
    /// Rounding of noisy images before the model gets them.
    pub fn precision(&self, preprocessing: &Preprocessing) -> InputPrecision {
        InputPrecision::new(preprocessing, self.image, self.input.element_type == ElementType::Float16)
    }
}

/// Finds input and output, or returns a sentence that explains why the model can't be certified.
pub(super) fn find(summary: &ModelSummary, reading: &InputOptions) -> Result<Signature, String> {
    let [input] = &summary.inputs[..] else {
        return Err(format!(
            "it has {} inputs without a default ({}); one image input is needed",
            summary.inputs.len(),
            list(&summary.inputs)
        ));
    };
    match input.element_type {
        ElementType::Float | ElementType::Float16 | ElementType::Double => {}
        ElementType::Uint8 | ElementType::Int8 | ElementType::Uint16 | ElementType::Int16 => {
            return Err(format!(
                "its input is {input}; Gaussian noise can't be added to whole numbers without rounding it away, so \
                 export the model with a floating-point input"
            ));
        }
        _ => {
            return Err(format!("its input is {input}; an image of type float, float16 or double is needed"));
        }
    }
    let shape = input.shape.as_deref().unwrap_or_default();
    let Some((batch, rest)) = shape.split_first().filter(|(_, rest)| !rest.is_empty()) else {
        return Err(format!("its input is {input}; a batch dimension and at least one more are needed"));
    };
    let layout = arrange(input, rest, reading)?;
    let image = sizes(input, rest, layout, reading)?;
    let batch = batch.size();
    let values = image.iter().try_fold(batch.unwrap_or(1), |values, &size| values.checked_mul(size));
    if values.is_none_or(|values| values > MAX_VALUES) {
        return Err(format!("its input is {input}; the largest batch has {MAX_VALUES} values"));
    }
    let [c, h, w] = image;
    let dims = match (rest.len(), layout) {
        (1, _) => vec![c * h * w],
        (2, _) => vec![h, w],
        (_, Layout::Nchw) => vec![c, h, w],
        (_, Layout::Nhwc) => vec![h, w, c],
    };
    let output = choose_output(&summary.outputs, reading.output.as_deref())?;
    Ok(Signature { input: input.clone(), output, batch, dims, image, layout })
}

/// Order of the dimensions: from the shape of the images if it is known, otherwise from the position of the dimension
/// that can be a number of channels.
fn arrange(input: &ValueSummary, rest: &[Dim], reading: &InputOptions) -> Result<Layout, String> {
    if rest.len() > 3 {
        return Err(format!("its input is {input}; images have two or three dimensions besides the batch"));
    }
    if let Some(layout) = reading.layout {
        return Ok(layout);
    }
    let [first, _, last] = rest else { return Ok(Layout::Nchw) };
    let (as_nchw, as_nhwc) = match reading.image {
        Some([c, h, w]) => (fits(rest, &[c, h, w]), fits(rest, &[h, w, c])),
        None => (true, true),
    };
    match (as_nchw, as_nhwc) {
        (false, true) => return Ok(Layout::Nhwc),
        // `sizes` reports images that fit neither order.
        (_, false) => return Ok(Layout::Nchw),
        (true, true) => {}
    }
    let channels = |dim: &Dim| matches!(dim, Dim::Fixed(1 | 3));
    match (channels(first), channels(last)) {
        (true, false) => Ok(Layout::Nchw),
        (false, true) => Ok(Layout::Nhwc),
        _ => Err(format!(
            "its input is {input}, in which the channels may be first or last; give their order with `layout` nchw or \
             `layout` nhwc"
        )),
    }
}

fn fits(dims: &[Dim], sizes: &[usize]) -> bool {
    dims.len() == sizes.len()
        && dims
            .iter()
            .zip(sizes)
            .all(|(dim, &size)| matches!(dim, Dim::Symbolic(_)) || dim.size() == Some(size))
}

/// Shape of the images, after a check that the input takes them.
fn sizes(
    input: &ValueSummary,
    rest: &[Dim],
    layout: Layout,
    reading: &InputOptions,
) -> Result<[usize; 3], String> {
    let Some(image @ [c, h, w]) = reading.image else {
        let side = reading.side.unwrap_or(SIDE);
        let size = |dim: &Dim| dim.size().unwrap_or(side);
        let channels = |dim: &Dim| dim.size().unwrap_or(3);
        return Ok(match (rest, layout) {
            ([features], _) => [1, 1, size(features)],
            ([h, w], _) => [1, size(h), size(w)],
            ([c, h, w], Layout::Nchw) | ([h, w, c], Layout::Nhwc) => [channels(c), size(h), size(w)],
            _ => [0, 0, 0],
        });
    };
    let fit = match (rest.len(), layout) {
        (1, _) => fits(rest, &[c * h * w]),
        (2, _) => c == 1 && fits(rest, &[h, w]),
        (_, Layout::Nchw) => fits(rest, &[c, h, w]),
        (_, Layout::Nhwc) => fits(rest, &[h, w, c]),
    };
    if !fit {
        return Err(format!(
            "its input is {input}{} and the images of the data set have shape {image:?} (channels, height, width); \
             certify it with the data set that it was made for",
            if rest.len() == 3 { format!(", read as {layout},") } else { String::new() },
        ));
    }
    Ok(image)
}

/// The output called `name`, or the only one that can have a value for each class.
fn choose_output(outputs: &[ValueSummary], name: Option<&str>) -> Result<ValueSummary, String> {
    if let Some(name) = name {
        let found = outputs.iter().find(|output| output.name == name);
        let output = found.ok_or_else(|| format!("it has no output '{name}', only {}", list(outputs)))?;
        return if is_float(output) {
            Ok(output.clone())
        } else {
            Err(format!("its output is {output}; one of type float, float16 or double is needed"))
        };
    }
    let candidates: Vec<&ValueSummary> = outputs.iter().filter(|output| is_candidate(output)).collect();
    match (&candidates[..], outputs) {
        ([output], _) => Ok((*output).clone()),
        ([], []) => Err("it has no output".into()),
        ([], [output]) => Err(format!(
            "its output is {output}; one row of logits or probabilities per input is needed, of type float, float16 \
             or double"
        )),
        ([], _) => Err(format!(
            "none of its outputs ({}) has one row of logits or probabilities per input",
            list(outputs)
        )),
        _ => Err(format!(
            "it has {} outputs ({}); name the output with the logits or probabilities by `output`",
            outputs.len(),
            list(outputs)
        )),
    }
}

fn is_float(output: &ValueSummary) -> bool {
    matches!(output.element_type, ElementType::Float | ElementType::Float16 | ElementType::Double)
}

/// Whether an output can have the shape N×K, possibly with more dimensions of size 1.
fn is_candidate(output: &ValueSummary) -> bool {
    let Some(shape) = &output.shape else { return is_float(output) };
    let wide = shape.iter().skip(1).filter(|dim| **dim != Dim::Fixed(1)).count();
    is_float(output) && shape.len() >= 2 && wide == 1
}

fn list(values: &[ValueSummary]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn value(name: &str, element_type: ElementType, shape: &[i64]) -> ValueSummary {
        let dim = |&size: &i64| if size > 0 { Dim::Fixed(size) } else { Dim::symbolic("n") };
        ValueSummary { name: name.into(), element_type, shape: Some(shape.iter().map(dim).collect()) }
    }

    fn model(input: ValueSummary, outputs: Vec<ValueSummary>) -> ModelSummary {
        ModelSummary {
            ir_version: 8,
            opsets: BTreeMap::new(),
            producer: String::new(),
            graph: String::new(),
            inputs: vec![input],
            outputs,
            operators: BTreeMap::new(),
            parameters: 0,
            weights: BTreeMap::new(),
            external_data: Vec::new(),
            metadata: BTreeMap::new(),
        }
    }

    fn input(shape: &[i64], reading: &InputOptions) -> Result<Signature, String> {
        let outputs = vec![value("y", ElementType::Float, &[0, 10])];
        find(&model(value("x", ElementType::Float, shape), outputs), reading)
    }

    fn with_image(image: [usize; 3]) -> InputOptions {
        InputOptions { image: Some(image), ..InputOptions::default() }
    }

    #[test]
    fn the_layout_follows_from_channels_or_images() {
        let none = InputOptions::default();
        for (shape, reading, layout, dims) in [
            (&[0, 3, 32, 32][..], &none, Layout::Nchw, vec![3, 32, 32]),
            (&[1, 28, 28, 1], &none, Layout::Nhwc, vec![28, 28, 1]),
            (&[0, 0, 0, 3], &with_image([3, 48, 192]), Layout::Nhwc, vec![48, 192, 3]),
            (&[0, 3, 0, 0], &with_image([3, 48, 192]), Layout::Nchw, vec![3, 48, 192]),
            (&[0, 5, 9, 7], &with_image([7, 5, 9]), Layout::Nhwc, vec![5, 9, 7]),
            (&[0, 28, 28], &with_image([1, 28, 28]), Layout::Nchw, vec![28, 28]),
            (&[0, 784], &with_image([1, 28, 28]), Layout::Nchw, vec![784]),
            (&[0, 0], &with_image([3, 2, 2]), Layout::Nchw, vec![12]),
        ] {
            let signature = input(shape, reading).unwrap();
            assert_eq!((signature.layout, signature.dims), (layout, dims), "{shape:?}");
        }
        let ambiguous = input(&[0, 0, 0, 0], &with_image([1, 28, 28])).unwrap_err();
        assert!(ambiguous.ends_with("give their order with `layout` nchw or `layout` nhwc"), "{ambiguous}");
        let told = InputOptions { layout: Some(Layout::Nhwc), ..with_image([1, 28, 28]) };
        assert_eq!(input(&[0, 0, 0, 0], &told).unwrap().dims, [28, 28, 1]);
    }

    #[test]
    fn inputs_that_are_no_images_of_the_data_are_refused() {
        for (shape, image, expected) in [
            (&[0][..], [1, 28, 28], "a batch dimension and at least one more"),
            (&[0, 3, 2, 2, 2], [3, 2, 2], "images have two or three dimensions"),
            (&[0, 3, 32, 32], [1, 28, 28], "the images of the data set have shape [1, 28, 28]"),
            (&[0, 28, 28], [3, 28, 28], "the images of the data set have shape [3, 28, 28]"),
            (&[1 << 60, 1, 28, 28], [1, 28, 28], "the largest batch has 268435456 values"),
            (&[1 << 60, 1 << 60], [1, 28, 28], "the images of the data set"),
        ] {
            let error = input(shape, &with_image(image)).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        let huge = input(&[1 << 40, 1 << 40, 3], &InputOptions::default()).unwrap_err();
        assert!(huge.contains("the largest batch has 268435456 values"), "{huge}");
        let outputs = vec![value("y", ElementType::Float, &[0, 10])];
        let bytes =
            find(&model(value("x", ElementType::Uint8, &[1, 3, 8, 8]), outputs), &InputOptions::default());
        assert!(bytes.unwrap_err().contains("noise can't be added to whole numbers"));
    }

    #[test]
    fn one_output_is_chosen_or_the_list_is_said() {
        let label = value("label", ElementType::Int64, &[0]);
        let logits = value("logits", ElementType::Float, &[0, 10]);
        let features = value("features", ElementType::Float, &[0, 64]);
        let pooled = value("pooled", ElementType::Float16, &[0, 10, 1, 1]);
        let choose = |outputs: &[&ValueSummary], name| {
            let outputs: Vec<ValueSummary> = outputs.iter().map(|output| (*output).clone()).collect();
            choose_output(&outputs, name)
        };
        assert_eq!(choose(&[&label, &logits], None).unwrap(), logits);
        assert_eq!(choose(&[&pooled], None).unwrap(), pooled);
        assert_eq!(choose(&[&features, &logits], Some("logits")).unwrap(), logits);
        for (outputs, name, expected) in [
            (&[&features, &logits][..], None, "name the output with the logits or probabilities by `output`"),
            (&[&features, &logits], Some("logit"), "no output 'logit', only features: float [n, 64]; logits"),
            (&[&label, &logits], Some("label"), "its output is label: int64 [n]"),
            (&[&label], None, "its output is label: int64 [n]"),
            (&[], None, "it has no output"),
        ] {
            let error = choose(outputs, name).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
