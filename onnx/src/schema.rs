//! The schema of ONNX 1.23: the fields of its messages, and the memory that each takes when decoded.

use Kind::{Boxed, Floats, Inline, Integers, Many, Scalar, Text, Texts};

use crate::messages::{
    AttributeProto, DeviceConfigurationProto, Dimension, FunctionProto, GraphProto, IntIntListEntryProto,
    MapType, ModelProto, NodeDeviceConfigurationProto, NodeProto, OpaqueType, OperatorSetIdProto,
    OptionalType, SequenceType, ShardedDimProto, ShardingSpecProto, SimpleShardedDimProto, SparseTensorProto,
    StringStringEntryProto, TensorAnnotation, TensorProto, TensorSegment, TensorShapeProto, TensorType,
    TrainingInfoProto, TypeProto, ValueInfoProto,
};

/// The form of a field in memory.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// One number, stored inside its message.
    Scalar,
    /// One string or byte string.
    Text,
    /// A list of strings.
    Texts,
    /// A list of floating-point numbers, which have the same size in memory as in the file.
    Floats,
    /// A list of integers; the number is the size of one integer in memory, in bytes.
    Integers(u64),
    /// One message, stored inside its message.
    Inline(&'static Schema),
    /// One message in a separate allocation.
    Boxed(&'static Schema),
    /// A list of messages.
    Many(&'static Schema),
}

impl Kind {
    /// The schema of the message in the field, if it contains messages.
    pub fn message(self) -> Option<&'static Schema> {
        match self {
            Inline(schema) | Boxed(schema) | Many(schema) => Some(schema),
            Scalar | Text | Texts | Floats | Integers(_) => None,
        }
    }
}

/// A message of the format.
pub(crate) struct Schema {
    /// Its name.
    pub name: &'static str,
    /// Size of the message in memory, in bytes, without separate allocations.
    pub size: u64,
    fields: &'static [(u32, Kind)],
}

impl Schema {
    const fn new<Message>(name: &'static str, fields: &'static [(u32, Kind)]) -> Self {
        Self { name, size: size_of::<Message>() as u64, fields }
    }

    /// The form of the field with number `number`; `None` if there is no such field.
    pub fn field(&self, number: u32) -> Option<Kind> {
        self.fields.iter().find(|(known, _)| *known == number).map(|(_, kind)| *kind)
    }
}

/// The outermost message: a model.
pub(crate) static MODEL: Schema = Schema::new::<ModelProto>(
    "ModelProto",
    &[
        (1, Scalar),
        (2, Text),
        (3, Text),
        (4, Text),
        (5, Scalar),
        (6, Text),
        (7, Inline(&GRAPH)),
        (8, Many(&OPSET)),
        (14, Many(&ENTRY)),
        (20, Many(&TRAINING)),
        (25, Many(&FUNCTION)),
        (26, Many(&DEVICES)),
    ],
);
static GRAPH: Schema = Schema::new::<GraphProto>(
    "GraphProto",
    &[
        (1, Many(&NODE)),
        (2, Text),
        (5, Many(&TENSOR)),
        (10, Text),
        (11, Many(&VALUE_INFO)),
        (12, Many(&VALUE_INFO)),
        (13, Many(&VALUE_INFO)),
        (14, Many(&ANNOTATION)),
        (15, Many(&SPARSE_TENSOR)),
        (16, Many(&ENTRY)),
    ],
);
static NODE: Schema = Schema::new::<NodeProto>(
    "NodeProto",
    &[
        (1, Texts),
        (2, Texts),
        (3, Text),
        (4, Text),
        (5, Many(&ATTRIBUTE)),
        (6, Text),
        (7, Text),
        (8, Text),
        (9, Many(&ENTRY)),
        (10, Many(&NODE_DEVICES)),
    ],
);
static ATTRIBUTE: Schema = Schema::new::<AttributeProto>(
    "AttributeProto",
    &[
        (1, Text),
        (2, Scalar),
        (3, Scalar),
        (4, Text),
        (5, Boxed(&TENSOR)),
        (6, Boxed(&GRAPH)),
        (7, Floats),
        (8, Integers(8)),
        (9, Texts),
        (10, Many(&TENSOR)),
        (11, Many(&GRAPH)),
        (13, Text),
        (14, Boxed(&TYPE)),
        (15, Many(&TYPE)),
        (20, Scalar),
        (21, Text),
        (22, Boxed(&SPARSE_TENSOR)),
        (23, Many(&SPARSE_TENSOR)),
    ],
);
static OPSET: Schema = Schema::new::<OperatorSetIdProto>("OperatorSetIdProto", &[(1, Text), (2, Scalar)]);
static ENTRY: Schema =
    Schema::new::<StringStringEntryProto>("StringStringEntryProto", &[(1, Text), (2, Text)]);
static TRAINING: Schema = Schema::new::<TrainingInfoProto>(
    "TrainingInfoProto",
    &[(1, Inline(&GRAPH)), (2, Inline(&GRAPH)), (3, Many(&ENTRY)), (4, Many(&ENTRY))],
);
static FUNCTION: Schema = Schema::new::<FunctionProto>(
    "FunctionProto",
    &[
        (1, Text),
        (4, Texts),
        (5, Texts),
        (6, Texts),
        (7, Many(&NODE)),
        (8, Text),
        (9, Many(&OPSET)),
        (10, Text),
        (11, Many(&ATTRIBUTE)),
        (12, Many(&VALUE_INFO)),
        (13, Text),
        (14, Many(&ENTRY)),
    ],
);
static TENSOR: Schema = Schema::new::<TensorProto>(
    "TensorProto",
    &[
        (1, Integers(8)),
        (2, Scalar),
        (3, Inline(&SEGMENT)),
        (4, Floats),
        (5, Integers(4)),
        (6, Texts),
        (7, Integers(8)),
        (8, Text),
        (9, Text),
        (10, Floats),
        (11, Integers(8)),
        (12, Text),
        (13, Many(&ENTRY)),
        (14, Scalar),
        (16, Many(&ENTRY)),
    ],
);
static SEGMENT: Schema = Schema::new::<TensorSegment>("TensorProto.Segment", &[(1, Scalar), (2, Scalar)]);
static SPARSE_TENSOR: Schema = Schema::new::<SparseTensorProto>(
    "SparseTensorProto",
    &[(1, Inline(&TENSOR)), (2, Inline(&TENSOR)), (3, Integers(8))],
);
static ANNOTATION: Schema =
    Schema::new::<TensorAnnotation>("TensorAnnotation", &[(1, Text), (2, Many(&ENTRY))]);
static VALUE_INFO: Schema = Schema::new::<ValueInfoProto>(
    "ValueInfoProto",
    &[(1, Text), (2, Inline(&TYPE)), (3, Text), (4, Many(&ENTRY))],
);
static TYPE: Schema = Schema::new::<TypeProto>(
    "TypeProto",
    &[
        (1, Inline(&TENSOR_TYPE)),
        (4, Boxed(&SEQUENCE_TYPE)),
        (5, Boxed(&MAP_TYPE)),
        (6, Text),
        (7, Inline(&OPAQUE_TYPE)),
        (8, Inline(&TENSOR_TYPE)),
        (9, Boxed(&OPTIONAL_TYPE)),
    ],
);
static TENSOR_TYPE: Schema =
    Schema::new::<TensorType>("TypeProto.Tensor", &[(1, Scalar), (2, Inline(&SHAPE))]);
static SEQUENCE_TYPE: Schema = Schema::new::<SequenceType>("TypeProto.Sequence", &[(1, Boxed(&TYPE))]);
static OPTIONAL_TYPE: Schema = Schema::new::<OptionalType>("TypeProto.Optional", &[(1, Boxed(&TYPE))]);
static MAP_TYPE: Schema = Schema::new::<MapType>("TypeProto.Map", &[(1, Scalar), (2, Boxed(&TYPE))]);
static OPAQUE_TYPE: Schema = Schema::new::<OpaqueType>("TypeProto.Opaque", &[(1, Text), (2, Text)]);
static SHAPE: Schema = Schema::new::<TensorShapeProto>("TensorShapeProto", &[(1, Many(&DIMENSION))]);
static DIMENSION: Schema =
    Schema::new::<Dimension>("TensorShapeProto.Dimension", &[(1, Scalar), (2, Text), (3, Text)]);
static DEVICES: Schema = Schema::new::<DeviceConfigurationProto>(
    "DeviceConfigurationProto",
    &[(1, Text), (2, Scalar), (3, Texts)],
);
static NODE_DEVICES: Schema = Schema::new::<NodeDeviceConfigurationProto>(
    "NodeDeviceConfigurationProto",
    &[(1, Text), (2, Many(&SHARDING)), (3, Scalar)],
);
static SHARDING: Schema = Schema::new::<ShardingSpecProto>(
    "ShardingSpecProto",
    &[(1, Text), (2, Integers(8)), (3, Many(&DEVICE_GROUP)), (4, Many(&SHARDED_DIM))],
);
static DEVICE_GROUP: Schema =
    Schema::new::<IntIntListEntryProto>("IntIntListEntryProto", &[(1, Scalar), (2, Integers(8))]);
static SHARDED_DIM: Schema =
    Schema::new::<ShardedDimProto>("ShardedDimProto", &[(1, Scalar), (2, Many(&SIMPLE_SHARDING))]);
static SIMPLE_SHARDING: Schema =
    Schema::new::<SimpleShardedDimProto>("SimpleShardedDimProto", &[(1, Scalar), (2, Text), (3, Scalar)]);
