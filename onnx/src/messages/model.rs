//! Messages of models, graphs, nodes, attributes and functions.

use prost::{Enumeration, Message};

use super::{
    DeviceConfigurationProto, NodeDeviceConfigurationProto, SparseTensorProto, StringStringEntryProto,
    TensorAnnotation, TensorProto, TypeProto, ValueInfoProto,
};

/// A model: a graph, the operator sets that it uses, and metadata.
#[derive(Clone, PartialEq, Message)]
pub struct ModelProto {
    /// Version of the file format.
    #[prost(optional, int64, tag = "1")]
    pub ir_version: Option<i64>,
    /// Program that wrote the file.
    #[prost(optional, string, tag = "2")]
    pub producer_name: Option<String>,
    /// Version of that program.
    #[prost(optional, string, tag = "3")]
    pub producer_version: Option<String>,
    /// Name space of the model, in reverse-DNS form.
    #[prost(optional, string, tag = "4")]
    pub domain: Option<String>,
    /// Version of the graph, counted by its maker.
    #[prost(optional, int64, tag = "5")]
    pub model_version: Option<i64>,
    /// Free text about the model.
    #[prost(optional, string, tag = "6")]
    pub doc_string: Option<String>,
    /// The graph that inference runs.
    #[prost(optional, message, tag = "7")]
    pub graph: Option<GraphProto>,
    /// Operator sets the graph is written in.
    #[prost(repeated, message, tag = "8")]
    pub opset_import: Vec<OperatorSetIdProto>,
    /// Named values kept with the model.
    #[prost(repeated, message, tag = "14")]
    pub metadata_props: Vec<StringStringEntryProto>,
    /// How to train the model further.
    #[prost(repeated, message, tag = "20")]
    pub training_info: Vec<TrainingInfoProto>,
    /// Operators that the model itself defines.
    #[prost(repeated, message, tag = "25")]
    pub functions: Vec<FunctionProto>,
    /// Device layouts for distributed execution.
    #[prost(repeated, message, tag = "26")]
    pub configuration: Vec<DeviceConfigurationProto>,
}

/// A computation graph: nodes in topological order, with inputs, outputs and constants.
#[derive(Clone, PartialEq, Message)]
pub struct GraphProto {
    /// Nodes, each after the nodes whose results it reads.
    #[prost(repeated, message, tag = "1")]
    pub node: Vec<NodeProto>,
    /// Name of the graph.
    #[prost(optional, string, tag = "2")]
    pub name: Option<String>,
    /// Constant tensors, by name.
    #[prost(repeated, message, tag = "5")]
    pub initializer: Vec<TensorProto>,
    /// Free text about the graph.
    #[prost(optional, string, tag = "10")]
    pub doc_string: Option<String>,
    /// Inputs; in old files also the initialisers.
    #[prost(repeated, message, tag = "11")]
    pub input: Vec<ValueInfoProto>,
    /// Outputs.
    #[prost(repeated, message, tag = "12")]
    pub output: Vec<ValueInfoProto>,
    /// Types of intermediate values.
    #[prost(repeated, message, tag = "13")]
    pub value_info: Vec<ValueInfoProto>,
    /// Scales and zero points of quantised tensors.
    #[prost(repeated, message, tag = "14")]
    pub quantization_annotation: Vec<TensorAnnotation>,
    /// Constant tensors in sparse form.
    #[prost(repeated, message, tag = "15")]
    pub sparse_initializer: Vec<SparseTensorProto>,
    /// Named values kept with the graph.
    #[prost(repeated, message, tag = "16")]
    pub metadata_props: Vec<StringStringEntryProto>,
}

/// One call of an operator.
#[derive(Clone, PartialEq, Message)]
pub struct NodeProto {
    /// Names of the values read; empty for an absent optional input.
    #[prost(repeated, string, tag = "1")]
    pub input: Vec<String>,
    /// Names of the values computed; empty for an unused output.
    #[prost(repeated, string, tag = "2")]
    pub output: Vec<String>,
    /// Name of the call.
    #[prost(optional, string, tag = "3")]
    pub name: Option<String>,
    /// Operator, such as `Conv`.
    #[prost(optional, string, tag = "4")]
    pub op_type: Option<String>,
    /// Attributes of the call.
    #[prost(repeated, message, tag = "5")]
    pub attribute: Vec<AttributeProto>,
    /// Free text about the call.
    #[prost(optional, string, tag = "6")]
    pub doc_string: Option<String>,
    /// Operator set the operator is from; the default one if empty.
    #[prost(optional, string, tag = "7")]
    pub domain: Option<String>,
    /// Which of several functions of one name is meant.
    #[prost(optional, string, tag = "8")]
    pub overload: Option<String>,
    /// Named values kept with the node.
    #[prost(repeated, message, tag = "9")]
    pub metadata_props: Vec<StringStringEntryProto>,
    /// Where the node runs in distributed execution.
    #[prost(repeated, message, tag = "10")]
    pub device_configurations: Vec<NodeDeviceConfigurationProto>,
}

/// A named attribute of a node; `type` says which field has its value.
#[derive(Clone, PartialEq, Message)]
pub struct AttributeProto {
    /// Name of the attribute.
    #[prost(optional, string, tag = "1")]
    pub name: Option<String>,
    /// A float.
    #[prost(optional, float, tag = "2")]
    pub f: Option<f32>,
    /// An integer.
    #[prost(optional, int64, tag = "3")]
    pub i: Option<i64>,
    /// A string, in UTF-8.
    #[prost(optional, bytes = "vec", tag = "4")]
    pub s: Option<Vec<u8>>,
    /// A tensor.
    #[prost(optional, message, boxed, tag = "5")]
    pub t: Option<Box<TensorProto>>,
    /// A graph, as the branches of `If`.
    #[prost(optional, message, boxed, tag = "6")]
    pub g: Option<Box<GraphProto>>,
    /// Floats.
    #[prost(repeated, float, packed = "false", tag = "7")]
    pub floats: Vec<f32>,
    /// Integers.
    #[prost(repeated, int64, packed = "false", tag = "8")]
    pub ints: Vec<i64>,
    /// Strings.
    #[prost(repeated, bytes = "vec", tag = "9")]
    pub strings: Vec<Vec<u8>>,
    /// Tensors.
    #[prost(repeated, message, tag = "10")]
    pub tensors: Vec<TensorProto>,
    /// Graphs.
    #[prost(repeated, message, tag = "11")]
    pub graphs: Vec<GraphProto>,
    /// Free text about the attribute.
    #[prost(optional, string, tag = "13")]
    pub doc_string: Option<String>,
    /// A type.
    #[prost(optional, message, boxed, tag = "14")]
    pub tp: Option<Box<TypeProto>>,
    /// Types.
    #[prost(repeated, message, tag = "15")]
    pub type_protos: Vec<TypeProto>,
    /// The kind of value, which determines the field.
    #[prost(optional, enumeration = "AttributeType", tag = "20")]
    pub r#type: Option<i32>,
    /// In a function: the attribute of the function this one takes its value from.
    #[prost(optional, string, tag = "21")]
    pub ref_attr_name: Option<String>,
    /// A sparse tensor.
    #[prost(optional, message, boxed, tag = "22")]
    pub sparse_tensor: Option<Box<SparseTensorProto>>,
    /// Sparse tensors.
    #[prost(repeated, message, tag = "23")]
    pub sparse_tensors: Vec<SparseTensorProto>,
}

/// An operator set and its version.
#[derive(Clone, PartialEq, Message)]
pub struct OperatorSetIdProto {
    /// Name of the set; empty for the standard one.
    #[prost(optional, string, tag = "1")]
    pub domain: Option<String>,
    /// Version of the set.
    #[prost(optional, int64, tag = "2")]
    pub version: Option<i64>,
}

/// Graphs that initialise and train a model.
#[derive(Clone, PartialEq, Message)]
pub struct TrainingInfoProto {
    /// Sets the state at the start.
    #[prost(optional, message, tag = "1")]
    pub initialization: Option<GraphProto>,
    /// Makes one training step.
    #[prost(optional, message, tag = "2")]
    pub algorithm: Option<GraphProto>,
    /// State set by the first graph.
    #[prost(repeated, message, tag = "3")]
    pub initialization_binding: Vec<StringStringEntryProto>,
    /// State set by the second graph.
    #[prost(repeated, message, tag = "4")]
    pub update_binding: Vec<StringStringEntryProto>,
}

/// An operator defined by a graph of other operators.
#[derive(Clone, PartialEq, Message)]
pub struct FunctionProto {
    /// Name of the operator.
    #[prost(optional, string, tag = "1")]
    pub name: Option<String>,
    /// Names of its inputs.
    #[prost(repeated, string, tag = "4")]
    pub input: Vec<String>,
    /// Names of its outputs.
    #[prost(repeated, string, tag = "5")]
    pub output: Vec<String>,
    /// Names of attributes without a default.
    #[prost(repeated, string, tag = "6")]
    pub attribute: Vec<String>,
    /// The body.
    #[prost(repeated, message, tag = "7")]
    pub node: Vec<NodeProto>,
    /// Free text about the function.
    #[prost(optional, string, tag = "8")]
    pub doc_string: Option<String>,
    /// Operator sets the body is written in.
    #[prost(repeated, message, tag = "9")]
    pub opset_import: Vec<OperatorSetIdProto>,
    /// Operator set the function belongs to.
    #[prost(optional, string, tag = "10")]
    pub domain: Option<String>,
    /// Attributes with a default.
    #[prost(repeated, message, tag = "11")]
    pub attribute_proto: Vec<AttributeProto>,
    /// Types of values in the body.
    #[prost(repeated, message, tag = "12")]
    pub value_info: Vec<ValueInfoProto>,
    /// Which of several functions of one name this is.
    #[prost(optional, string, tag = "13")]
    pub overload: Option<String>,
    /// Named values kept with the function.
    #[prost(repeated, message, tag = "14")]
    pub metadata_props: Vec<StringStringEntryProto>,
}

/// The kind of an attribute's value: the field of [`AttributeProto`] that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
#[allow(missing_docs)]
pub enum AttributeType {
    Undefined = 0,
    Float = 1,
    Int = 2,
    String = 3,
    Tensor = 4,
    Graph = 5,
    Floats = 6,
    Ints = 7,
    Strings = 8,
    Tensors = 9,
    Graphs = 10,
    SparseTensor = 11,
    SparseTensors = 12,
    TypeProto = 13,
    TypeProtos = 14,
}
