//! The message of a key with a value, which models, graphs, nodes, tensors and types keep.

use prost::Message;

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
