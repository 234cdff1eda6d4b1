mod weights;

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use crate::{
    ElementType, OnnxError,
    external::needed,
    messages::{Dimension, DimensionValue, ModelProto, TypeProto, TypeValue, ValueInfoProto},
    tensors::for_each_node,
};

/// One dimension of a tensor: a fixed size, or a name for a size known only when the model runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(untagged)]
pub enum Dim {
    /// A fixed size.
    Fixed(i64),
    /// A name, such as `batch`; empty if the file gives neither size nor name.
    Symbolic(String),
}

impl Dim {
    /// A named dimension.
    pub fn symbolic(name: impl Into<String>) -> Self {
        Self::Symbolic(name.into())
    }

    /// The size, if it is fixed.
    pub fn size(&self) -> Option<usize> {
        match self {
            Self::Fixed(size) => usize::try_from(*size).ok(),
            Self::Symbolic(_) => None,
        }
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(size) => write!(f, "{size}"),
            Self::Symbolic(name) if name.is_empty() => f.write_str("?"),
            Self::Symbolic(name) => f.write_str(name),
        }
    }
}

impl From<&Dim> for Dimension {
    fn from(dim: &Dim) -> Self {
        let value = match dim {
            Dim::Fixed(size) => Some(DimensionValue::Size(*size)),
            Dim::Symbolic(name) if name.is_empty() => None,
            Dim::Symbolic(name) => Some(DimensionValue::Name(name.clone())),
        };
        Self { denotation: None, value }
    }
}

impl From<&Dimension> for Dim {
    fn from(dimension: &Dimension) -> Self {
        match &dimension.value {
            // Some exporters write 0 or -1 for a size that is known only at run time.
            Some(DimensionValue::Size(size)) if *size > 0 => Self::Fixed(*size),
            Some(DimensionValue::Name(name)) => Self::Symbolic(name.clone()),
            _ => Self::Symbolic(String::new()),
        }
    }
}

/// Name, element type and shape of an input or output.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ValueSummary {
    /// Name in the graph.
    pub name: String,
    /// Element type; `undefined` if the value is not a tensor.
    #[serde(serialize_with = "as_text")]
    pub element_type: ElementType,
    /// Shape; `None` if the file does not give even the rank, or if the value is not a tensor.
    pub shape: Option<Vec<Dim>>,
}

fn as_text<T: fmt::Display, S: serde::Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

impl fmt::Display for ValueSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ", self.name, self.element_type)?;
        match &self.shape {
            None => f.write_str("of unknown shape"),
            Some(shape) => {
                let dims: Vec<String> = shape.iter().map(ToString::to_string).collect();
                write!(f, "[{}]", dims.join(", "))
            }
        }
    }
}

/// Summary of a model file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelSummary {
    /// Version of the file format.
    pub ir_version: i64,
    /// Versions of the operator sets, by name; the standard one is called `ai.onnx`.
    pub opsets: BTreeMap<String, i64>,
    /// Program and version that wrote the file.
    pub producer: String,
    /// Name of the graph.
    pub graph: String,
    /// Inputs that the caller must provide.
    pub inputs: Vec<ValueSummary>,
    /// Outputs.
    pub outputs: Vec<ValueSummary>,
    /// Number of nodes of each operator, including those in branches and loop bodies.
    pub operators: BTreeMap<String, usize>,
    /// Number of weights: elements of constant floating-point tensors and of quantised ones, without scales and zero
    /// points.
    pub parameters: u64,
    /// Number of weights of each element type.
    pub weights: BTreeMap<&'static str, u64>,
    /// Names of its files of weights (external data).
    pub external_data: Vec<String>,
    /// All metadata entries.
    pub metadata: BTreeMap<String, String>,
}

impl ModelSummary {
    /// The precision of most weights, such as `float32` or `int8`; `None` for a model without weights.
    pub fn precision(&self) -> Option<&'static str> {
        let (name, _) = self.weights.iter().max_by_key(|(_, count)| **count)?;
        Some(match *name {
            "float" => "float32",
            "double" => "float64",
            "uint8" => "int8",
            "uint4" => "int4",
            other => other,
        })
    }
}

/// Summarises a model.
///
/// # Errors
/// [`OnnxError::Malformed`] if the model has no graph.
pub fn summarize(model: &ModelProto) -> Result<ModelSummary, OnnxError> {
    let graph = model.graph.as_ref().ok_or_else(|| OnnxError::Malformed("it holds no graph".into()))?;
    let constants: std::collections::HashSet<&str> =
        graph.initializer.iter().filter_map(|tensor| tensor.name.as_deref()).collect();
    let mut operators = BTreeMap::new();
    for_each_node(graph, &mut |node| {
        *operators.entry(node.op_type.clone().unwrap_or_default()).or_insert(0) += 1;
    });
    let weights = weights::by_type(model);
    let is_constant = |value: &ValueInfoProto| constants.contains(value.name.as_deref().unwrap_or_default());
    Ok(ModelSummary {
        ir_version: model.ir_version.unwrap_or_default(),
        opsets: model
            .opset_import
            .iter()
            .map(|opset| {
                let domain = opset.domain.as_deref().filter(|domain| !domain.is_empty());
                (domain.unwrap_or("ai.onnx").to_owned(), opset.version.unwrap_or_default())
            })
            .collect(),
        producer: [&model.producer_name, &model.producer_version]
            .into_iter()
            .flatten()
            .filter(|part| !part.is_empty())
            .cloned()
            .collect::<Vec<_>>()
            .join(" "),
        graph: graph.name.clone().unwrap_or_default(),
        inputs: graph.input.iter().filter(|value| !is_constant(value)).map(value_summary).collect(),
        outputs: graph.output.iter().map(value_summary).collect(),
        operators,
        parameters: weights.values().fold(0, |sum, &count| sum.saturating_add(count)),
        weights,
        external_data: needed(model).into_keys().collect(),
        metadata: model
            .metadata_props
            .iter()
            .map(|entry| (entry.key.clone().unwrap_or_default(), entry.value.clone().unwrap_or_default()))
            .collect(),
    })
}

fn value_summary(value: &ValueInfoProto) -> ValueSummary {
    let tensor = match &value.r#type {
        Some(TypeProto { value: Some(TypeValue::Tensor(tensor)), .. }) => Some(tensor),
        _ => None,
    };
    ValueSummary {
        name: value.name.clone().unwrap_or_default(),
        element_type: tensor
            .and_then(|tensor| ElementType::from_number(tensor.elem_type.unwrap_or_default()))
            .unwrap_or(ElementType::Undefined),
        shape: tensor
            .and_then(|tensor| tensor.shape.as_ref())
            .map(|shape| shape.dim.iter().map(Dim::from).collect()),
    }
}
