//! The messages of an ONNX file, complete up to IR version 12, so that reading and writing a file loses nothing.
//!
//! Field names and numbers are those of the published schema (`onnx.proto`, ONNX 1.19). Each message is a plain
//! struct; `Option` marks what a file may leave out.

use prost::{Enumeration, Message, Oneof};

/// A whole model file: a graph, the operator sets it is written in, and what is known about it.
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
    /// Operator calls, each after what it reads.
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
    /// Types of values in between.
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
    /// Values read; empty for an optional input left out.
    #[prost(repeated, string, tag = "1")]
    pub input: Vec<String>,
    /// Values written; empty for an output not wanted.
    #[prost(repeated, string, tag = "2")]
    pub output: Vec<String>,
    /// Name of the call.
    #[prost(optional, string, tag = "3")]
    pub name: Option<String>,
    /// Operator, such as `Conv`.
    #[prost(optional, string, tag = "4")]
    pub op_type: Option<String>,
    /// Settings of the call.
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

/// A named setting of a node; `type` says which field holds it.
#[derive(Clone, PartialEq, Message)]
pub struct AttributeProto {
    /// Name of the setting.
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
    #[prost(optional, message, tag = "5")]
    pub t: Option<TensorProto>,
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
    /// Free text about the setting.
    #[prost(optional, string, tag = "13")]
    pub doc_string: Option<String>,
    /// A type.
    #[prost(optional, message, boxed, tag = "14")]
    pub tp: Option<Box<TypeProto>>,
    /// Types.
    #[prost(repeated, message, tag = "15")]
    pub type_protos: Vec<TypeProto>,
    /// Which field holds the value.
    #[prost(optional, enumeration = "AttributeType", tag = "20")]
    pub r#type: Option<i32>,
    /// In a function: the attribute of the function this one takes its value from.
    #[prost(optional, string, tag = "21")]
    pub ref_attr_name: Option<String>,
    /// A sparse tensor.
    #[prost(optional, message, tag = "22")]
    pub sparse_tensor: Option<SparseTensorProto>,
    /// Sparse tensors.
    #[prost(repeated, message, tag = "23")]
    pub sparse_tensors: Vec<SparseTensorProto>,
}

/// A tensor: shape, element type, and the elements in one of several fields or in another file.
#[derive(Clone, PartialEq, Message)]
pub struct TensorProto {
    /// Shape; empty for a scalar.
    #[prost(repeated, int64, packed = "false", tag = "1")]
    pub dims: Vec<i64>,
    /// Element type, an [`ElementType`](crate::ElementType) by number.
    #[prost(optional, int32, tag = "2")]
    pub data_type: Option<i32>,
    /// Part of a larger tensor that this one holds.
    #[prost(optional, message, tag = "3")]
    pub segment: Option<TensorSegment>,
    /// Elements of float and complex64 tensors.
    #[prost(repeated, float, packed = "true", tag = "4")]
    pub float_data: Vec<f32>,
    /// Elements of 32-bit and narrower integer, bool and 16-bit float tensors.
    #[prost(repeated, int32, packed = "true", tag = "5")]
    pub int32_data: Vec<i32>,
    /// Elements of string tensors.
    #[prost(repeated, bytes = "vec", tag = "6")]
    pub string_data: Vec<Vec<u8>>,
    /// Elements of int64 tensors.
    #[prost(repeated, int64, packed = "true", tag = "7")]
    pub int64_data: Vec<i64>,
    /// Name of the tensor.
    #[prost(optional, string, tag = "8")]
    pub name: Option<String>,
    /// Elements as little-endian bytes, row-major.
    #[prost(optional, bytes = "vec", tag = "9")]
    pub raw_data: Option<Vec<u8>>,
    /// Elements of double and complex128 tensors.
    #[prost(repeated, double, packed = "true", tag = "10")]
    pub double_data: Vec<f64>,
    /// Elements of uint32 and uint64 tensors.
    #[prost(repeated, uint64, packed = "true", tag = "11")]
    pub uint64_data: Vec<u64>,
    /// Free text about the tensor.
    #[prost(optional, string, tag = "12")]
    pub doc_string: Option<String>,
    /// Where the elements are, if in another file: `location`, `offset`, `length`.
    #[prost(repeated, message, tag = "13")]
    pub external_data: Vec<StringStringEntryProto>,
    /// Whether the elements are in another file.
    #[prost(optional, enumeration = "DataLocation", tag = "14")]
    pub data_location: Option<i32>,
    /// Named values kept with the tensor.
    #[prost(repeated, message, tag = "16")]
    pub metadata_props: Vec<StringStringEntryProto>,
}

/// The part of a larger tensor that a chunk holds.
#[derive(Clone, PartialEq, Message)]
pub struct TensorSegment {
    /// First element.
    #[prost(optional, int64, tag = "1")]
    pub begin: Option<i64>,
    /// One past the last element.
    #[prost(optional, int64, tag = "2")]
    pub end: Option<i64>,
}

/// A tensor given by its non-zero elements.
#[derive(Clone, PartialEq, Message)]
pub struct SparseTensorProto {
    /// The non-zero elements.
    #[prost(optional, message, tag = "1")]
    pub values: Option<TensorProto>,
    /// Where they stand.
    #[prost(optional, message, tag = "2")]
    pub indices: Option<TensorProto>,
    /// Shape of the whole tensor.
    #[prost(repeated, int64, packed = "false", tag = "3")]
    pub dims: Vec<i64>,
}

/// Name and type of a value.
#[derive(Clone, PartialEq, Message)]
pub struct ValueInfoProto {
    /// Name of the value.
    #[prost(optional, string, tag = "1")]
    pub name: Option<String>,
    /// Type of the value.
    #[prost(optional, message, tag = "2")]
    pub r#type: Option<TypeProto>,
    /// Free text about the value.
    #[prost(optional, string, tag = "3")]
    pub doc_string: Option<String>,
    /// Named values kept with the value.
    #[prost(repeated, message, tag = "4")]
    pub metadata_props: Vec<StringStringEntryProto>,
}

/// Type of a value: a tensor or one of the containers.
#[derive(Clone, PartialEq, Message)]
pub struct TypeProto {
    /// What the value means, such as `IMAGE`.
    #[prost(optional, string, tag = "6")]
    pub denotation: Option<String>,
    /// The type itself.
    #[prost(oneof = "TypeValue", tags = "1, 4, 5, 8, 9")]
    pub value: Option<TypeValue>,
}

/// Type of a tensor.
#[derive(Clone, PartialEq, Message)]
pub struct TensorType {
    /// Element type by number.
    #[prost(optional, int32, tag = "1")]
    pub elem_type: Option<i32>,
    /// Shape; absent if even the rank is unknown.
    #[prost(optional, message, tag = "2")]
    pub shape: Option<TensorShapeProto>,
}

/// Type of a sequence.
#[derive(Clone, PartialEq, Message)]
pub struct SequenceType {
    /// Type of its elements.
    #[prost(optional, message, boxed, tag = "1")]
    pub elem_type: Option<Box<TypeProto>>,
}

/// Type of a map.
#[derive(Clone, PartialEq, Message)]
pub struct MapType {
    /// Element type of the keys.
    #[prost(optional, int32, tag = "1")]
    pub key_type: Option<i32>,
    /// Type of the values.
    #[prost(optional, message, boxed, tag = "2")]
    pub value_type: Option<Box<TypeProto>>,
}

/// Type of a value that may be absent.
#[derive(Clone, PartialEq, Message)]
pub struct OptionalType {
    /// Type of the value if present.
    #[prost(optional, message, boxed, tag = "1")]
    pub elem_type: Option<Box<TypeProto>>,
}

/// A shape, dimension by dimension.
#[derive(Clone, PartialEq, Message)]
pub struct TensorShapeProto {
    /// The dimensions.
    #[prost(repeated, message, tag = "1")]
    pub dim: Vec<Dimension>,
}

/// One dimension: a number, a name, or unknown.
#[derive(Clone, PartialEq, Message)]
pub struct Dimension {
    /// What the dimension means, such as `DATA_BATCH`.
    #[prost(optional, string, tag = "3")]
    pub denotation: Option<String>,
    /// Size or name.
    #[prost(oneof = "DimensionValue", tags = "1, 2")]
    pub value: Option<DimensionValue>,
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

/// A key with a value.
#[derive(Clone, PartialEq, Message)]
pub struct StringStringEntryProto {
    /// Key.
    #[prost(optional, string, tag = "1")]
    pub key: Option<String>,
    /// Value.
    #[prost(optional, string, tag = "2")]
    pub value: Option<String>,
}

/// Quantisation parameters of a tensor.
#[derive(Clone, PartialEq, Message)]
pub struct TensorAnnotation {
    /// The tensor.
    #[prost(optional, string, tag = "1")]
    pub tensor_name: Option<String>,
    /// Names of the tensors that hold its scale and zero point.
    #[prost(repeated, message, tag = "2")]
    pub quant_parameter_tensor_names: Vec<StringStringEntryProto>,
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

/// A set of devices for distributed execution.
#[derive(Clone, PartialEq, Message)]
pub struct DeviceConfigurationProto {
    /// Name of the set.
    #[prost(optional, string, tag = "1")]
    pub name: Option<String>,
    /// How many devices.
    #[prost(optional, int32, tag = "2")]
    pub num_devices: Option<i32>,
    /// Their names.
    #[prost(repeated, string, tag = "3")]
    pub device: Vec<String>,
}

/// How one node runs on a set of devices.
#[derive(Clone, PartialEq, Message)]
pub struct NodeDeviceConfigurationProto {
    /// The set of devices.
    #[prost(optional, string, tag = "1")]
    pub configuration_id: Option<String>,
    /// How its tensors are split.
    #[prost(repeated, message, tag = "2")]
    pub sharding_spec: Vec<ShardingSpecProto>,
    /// Stage of the pipeline.
    #[prost(optional, int32, tag = "3")]
    pub pipeline_stage: Option<i32>,
}

/// How one tensor is split over devices.
#[derive(Clone, PartialEq, Message)]
pub struct ShardingSpecProto {
    /// The tensor.
    #[prost(optional, string, tag = "1")]
    pub tensor_name: Option<String>,
    /// Devices, negative for a group.
    #[prost(repeated, int64, packed = "false", tag = "2")]
    pub device: Vec<i64>,
    /// Groups of devices.
    #[prost(repeated, message, tag = "3")]
    pub index_to_device_group_map: Vec<IntIntListEntryProto>,
    /// Split of each axis.
    #[prost(repeated, message, tag = "4")]
    pub sharded_dim: Vec<ShardedDimProto>,
}

/// How one axis is split.
#[derive(Clone, PartialEq, Message)]
pub struct ShardedDimProto {
    /// The axis.
    #[prost(optional, int64, tag = "1")]
    pub axis: Option<i64>,
    /// Its parts.
    #[prost(repeated, message, tag = "2")]
    pub simple_sharding: Vec<SimpleShardedDimProto>,
}

/// One part of a split axis.
#[derive(Clone, PartialEq, Message)]
pub struct SimpleShardedDimProto {
    /// Number of shards.
    #[prost(optional, int64, tag = "3")]
    pub num_shards: Option<i64>,
    /// Size or name of the dimension.
    #[prost(oneof = "DimensionValue", tags = "1, 2")]
    pub dim: Option<DimensionValue>,
}

/// An integer with a list of integers.
#[derive(Clone, PartialEq, Message)]
pub struct IntIntListEntryProto {
    /// Key.
    #[prost(optional, int64, tag = "1")]
    pub key: Option<i64>,
    /// Values.
    #[prost(repeated, int64, packed = "false", tag = "2")]
    pub value: Vec<i64>,
}

/// The alternatives of a [`TypeProto`].
#[derive(Clone, PartialEq, Oneof)]
pub enum TypeValue {
    /// A dense tensor.
    #[prost(message, tag = "1")]
    Tensor(TensorType),
    /// A sequence of values of one type.
    #[prost(message, tag = "4")]
    Sequence(Box<SequenceType>),
    /// A map.
    #[prost(message, tag = "5")]
    Map(Box<MapType>),
    /// A sparse tensor.
    #[prost(message, tag = "8")]
    SparseTensor(TensorType),
    /// A value that may be absent.
    #[prost(message, tag = "9")]
    Optional(Box<OptionalType>),
}

/// Size of a dimension.
#[derive(Clone, PartialEq, Eq, Hash, Oneof)]
pub enum DimensionValue {
    /// A fixed size.
    #[prost(int64, tag = "1")]
    Size(i64),
    /// A name that stands for a size known only when the model runs.
    #[prost(string, tag = "2")]
    Name(String),
}

/// Which field of an [`AttributeProto`] holds its value.
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

/// Where the elements of a [`TensorProto`] are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum DataLocation {
    /// In the message itself.
    Default = 0,
    /// In another file, named by `external_data`.
    External = 1,
}
