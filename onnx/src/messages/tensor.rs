//! Messages of tensors: shape, element type, elements.

use prost::{Enumeration, Message};

use super::StringStringEntryProto;

/// A tensor: shape, element type, and the elements in one of several fields or in another file.
#[derive(Clone, PartialEq, Message)]
pub struct TensorProto {
    /// Shape; empty for a scalar.
    #[prost(repeated, int64, packed = "false", tag = "1")]
    pub dims: Vec<i64>,
    /// Element type, an [`ElementType`](crate::ElementType) by number.
    #[prost(optional, int32, tag = "2")]
    pub data_type: Option<i32>,
    /// The part of a larger tensor that this one contains.
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
    /// Position of the elements in another file: entries `location`, `offset`, `length`.
    #[prost(repeated, message, tag = "13")]
    pub external_data: Vec<StringStringEntryProto>,
    /// Whether the elements are in another file.
    #[prost(optional, enumeration = "DataLocation", tag = "14")]
    pub data_location: Option<i32>,
    /// Named values kept with the tensor.
    #[prost(repeated, message, tag = "16")]
    pub metadata_props: Vec<StringStringEntryProto>,
}

/// The part of a larger tensor that a tensor contains.
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
    /// Their indices.
    #[prost(optional, message, tag = "2")]
    pub indices: Option<TensorProto>,
    /// Shape of the whole tensor.
    #[prost(repeated, int64, packed = "false", tag = "3")]
    pub dims: Vec<i64>,
}

/// Quantisation parameters of a tensor.
#[derive(Clone, PartialEq, Message)]
pub struct TensorAnnotation {
    /// The tensor.
    #[prost(optional, string, tag = "1")]
    pub tensor_name: Option<String>,
    /// Names of the tensors with its scale and zero point.
    #[prost(repeated, message, tag = "2")]
    pub quant_parameter_tensor_names: Vec<StringStringEntryProto>,
}

/// Location of the elements of a [`TensorProto`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum DataLocation {
    /// In the message itself.
    Default = 0,
    /// In another file, named by `external_data`.
    External = 1,
}
