//! Messages for the distribution of a model over several devices.

use prost::Message;

use super::DimensionValue;

/// A set of devices for distributed execution.
#[derive(Clone, PartialEq, Message)]
pub struct DeviceConfigurationProto {
    /// Name of the set.
    #[prost(optional, string, tag = "1")]
    pub name: Option<String>,
    /// Number of devices.
    #[prost(optional, int32, tag = "2")]
    pub num_devices: Option<i32>,
    /// Names of the devices.
    #[prost(repeated, string, tag = "3")]
    pub device: Vec<String>,
}

/// How one node runs on a set of devices.
#[derive(Clone, PartialEq, Message)]
pub struct NodeDeviceConfigurationProto {
    /// The set of devices.
    #[prost(optional, string, tag = "1")]
    pub configuration_id: Option<String>,
    /// Splitting of its tensors.
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
