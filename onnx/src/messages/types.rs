//! Messages of the types of values.

use prost::{Message, Oneof};

use super::StringStringEntryProto;

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
    /// Meaning of the value, such as `IMAGE`.
    #[prost(optional, string, tag = "6")]
    pub denotation: Option<String>,
    /// The type itself.
    #[prost(oneof = "TypeValue", tags = "1, 4, 5, 7, 8, 9")]
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

/// Type known by name only.
#[derive(Clone, PartialEq, Message)]
pub struct OpaqueType {
    /// Operator set the type belongs to.
    #[prost(optional, string, tag = "1")]
    pub domain: Option<String>,
    /// Name of the type.
    #[prost(optional, string, tag = "2")]
    pub name: Option<String>,
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
    /// Meaning of the dimension, such as `DATA_BATCH`.
    #[prost(optional, string, tag = "3")]
    pub denotation: Option<String>,
    /// Size or name.
    #[prost(oneof = "DimensionValue", tags = "1, 2")]
    pub value: Option<DimensionValue>,
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
    /// A value of a type known by name only.
    #[prost(message, tag = "7")]
    Opaque(OpaqueType),
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
