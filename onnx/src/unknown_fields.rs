use crate::OnnxError;

/// A field of a message: its number, and the message it holds if it holds one.
type Field = (u32, Option<&'static Schema>);

/// The fields that a message of the format has.
struct Schema {
    name: &'static str,
    fields: &'static [Field],
}

macro_rules! schema {
    ($($constant:ident $name:literal: [$($plain:literal),*] { $($number:literal $message:ident),* })*) => {
        $(static $constant: Schema = Schema {
            name: $name,
            fields: &[$(($plain, None),)* $(($number, Some(&$message)),)*],
        };)*
    };
}

// Numbers of the published schema, ONNX 1.23.
schema! {
    MODEL "ModelProto": [1, 2, 3, 4, 5, 6] { 7 GRAPH, 8 OPSET, 14 ENTRY, 20 TRAINING, 25 FUNCTION, 26 DEVICES }
    GRAPH "GraphProto": [2, 10]
        { 1 NODE, 5 TENSOR, 11 VALUE_INFO, 12 VALUE_INFO, 13 VALUE_INFO, 14 ANNOTATION, 15 SPARSE_TENSOR, 16 ENTRY }
    NODE "NodeProto": [1, 2, 3, 4, 6, 7, 8] { 5 ATTRIBUTE, 9 ENTRY, 10 NODE_DEVICES }
    ATTRIBUTE "AttributeProto": [1, 2, 3, 4, 7, 8, 9, 13, 20, 21]
        { 5 TENSOR, 6 GRAPH, 10 TENSOR, 11 GRAPH, 14 TYPE, 15 TYPE, 22 SPARSE_TENSOR, 23 SPARSE_TENSOR }
    OPSET "OperatorSetIdProto": [1, 2] {}
    ENTRY "StringStringEntryProto": [1, 2] {}
    TRAINING "TrainingInfoProto": [] { 1 GRAPH, 2 GRAPH, 3 ENTRY, 4 ENTRY }
    FUNCTION "FunctionProto": [1, 4, 5, 6, 8, 10, 13]
        { 7 NODE, 9 OPSET, 11 ATTRIBUTE, 12 VALUE_INFO, 14 ENTRY }
    TENSOR "TensorProto": [1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14] { 3 SEGMENT, 13 ENTRY, 16 ENTRY }
    SEGMENT "TensorProto.Segment": [1, 2] {}
    SPARSE_TENSOR "SparseTensorProto": [3] { 1 TENSOR, 2 TENSOR }
    ANNOTATION "TensorAnnotation": [1] { 2 ENTRY }
    VALUE_INFO "ValueInfoProto": [1, 3] { 2 TYPE, 4 ENTRY }
    TYPE "TypeProto": [6]
        { 1 TENSOR_TYPE, 4 ELEMENT_TYPE, 5 MAP_TYPE, 7 OPAQUE_TYPE, 8 TENSOR_TYPE, 9 ELEMENT_TYPE }
    TENSOR_TYPE "TypeProto.Tensor": [1] { 2 SHAPE }
    ELEMENT_TYPE "TypeProto.Sequence": [] { 1 TYPE }
    MAP_TYPE "TypeProto.Map": [1] { 2 TYPE }
    OPAQUE_TYPE "TypeProto.Opaque": [1, 2] {}
    SHAPE "TensorShapeProto": [] { 1 DIMENSION }
    DIMENSION "TensorShapeProto.Dimension": [1, 2, 3] {}
    DEVICES "DeviceConfigurationProto": [1, 2, 3] {}
    NODE_DEVICES "NodeDeviceConfigurationProto": [1, 3] { 2 SHARDING }
    SHARDING "ShardingSpecProto": [1, 2] { 3 DEVICE_GROUP, 4 SHARDED_DIM }
    DEVICE_GROUP "IntIntListEntryProto": [1, 2] {}
    SHARDED_DIM "ShardedDimProto": [1] { 2 SIMPLE_SHARDING }
    SIMPLE_SHARDING "SimpleShardedDimProto": [1, 2, 3] {}
}

/// Deepest nesting followed, that of the decoder.
const MAX_DEPTH: usize = 100;

/// Checks that the bytes of a model hold no field that [`messages`](crate::messages) lack, so that a model that is
/// read, changed and written loses nothing.
///
/// # Errors
/// [`OnnxError::UnknownField`] with the first such field, [`OnnxError::Malformed`] if the bytes are no message.
///
/// ```
/// use mithridate_onnx::check_known_fields;
///
/// // Field 1 of a model is its IR version; there is no field 99.
/// assert!(check_known_fields(&[0x08, 0x08]).is_ok());
/// let error = check_known_fields(&[0x08, 0x08, 0x98, 0x06, 0x01]).unwrap_err();
/// assert!(error.to_string().contains("field 99 of ModelProto"));
/// ```
pub fn check_known_fields(bytes: &[u8]) -> Result<(), OnnxError> {
    check(bytes, &MODEL, 0)
}

fn check(mut bytes: &[u8], schema: &Schema, depth: usize) -> Result<(), OnnxError> {
    let malformed = || OnnxError::Malformed(format!("its {} is cut short or nested too deep", schema.name));
    if depth > MAX_DEPTH {
        return Err(malformed());
    }
    while !bytes.is_empty() {
        let tag = varint(&mut bytes).ok_or_else(malformed)?;
        let number = u32::try_from(tag >> 3).map_err(|_| malformed())?;
        let Some((_, message)) = schema.fields.iter().find(|(known, _)| *known == number) else {
            return Err(OnnxError::UnknownField { message: schema.name, field: number });
        };
        let length = match tag & 7 {
            0 => varint(&mut bytes).map(|_| 0),
            1 => Some(8),
            2 => varint(&mut bytes).and_then(|length| usize::try_from(length).ok()),
            5 => Some(4),
            _ => None,
        };
        let (value, rest) = length.and_then(|length| bytes.split_at_checked(length)).ok_or_else(malformed)?;
        if let (Some(message), 2) = (message, tag & 7) {
            check(value, message, depth + 1)?;
        }
        bytes = rest;
    }
    Ok(())
}

/// Takes a variable-length integer off the front.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::messages::{DataLocation, GraphProto, ModelProto, NodeProto, TensorProto};

    const EVERY_FIELD: &[u8] = include_bytes!("../tests/fixtures/every_field.onnx");

    #[test]
    fn every_field_of_the_format_is_known() {
        check_known_fields(EVERY_FIELD).unwrap();
    }

    #[test]
    fn an_unknown_field_deep_inside_is_named_with_its_message() {
        let tensor = TensorProto {
            name: Some("w".into()),
            data_location: Some(DataLocation::Default as i32),
            ..TensorProto::default()
        };
        let graph = GraphProto { initializer: vec![tensor], ..GraphProto::default() };
        let model = ModelProto { graph: Some(graph), ..ModelProto::default() };
        // The name of the tensor becomes a field 15, whose number is reserved.
        let mut bytes = model.encode_to_vec();
        let at = bytes.windows(3).position(|window| window == [0x42, 1, b'w']).unwrap();
        check_known_fields(&bytes).unwrap();
        bytes[at] = 15 << 3 | 2;
        let error = check_known_fields(&bytes).unwrap_err();
        assert!(matches!(error, OnnxError::UnknownField { message: "TensorProto", field: 15 }), "{error}");
        // That is what a reader loses without a word.
        assert_ne!(ModelProto::decode(&bytes[..]).unwrap().encode_to_vec(), bytes);
    }

    #[test]
    fn a_message_cut_short_is_refused() {
        let node = NodeProto { op_type: Some("Conv".into()), ..NodeProto::default() };
        let graph = GraphProto { node: vec![node], ..GraphProto::default() };
        let bytes = ModelProto { graph: Some(graph), ..ModelProto::default() }.encode_to_vec();
        for end in 1..bytes.len() {
            assert!(check_known_fields(&bytes[..end]).is_err(), "{end}");
        }
    }
}
