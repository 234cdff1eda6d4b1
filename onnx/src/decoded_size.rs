use crate::{
    OnnxError,
    schema::{Kind, MODEL, Schema},
    wire::{Fields, MAX_DEPTH, Value},
};

/// Memory, in bytes, that every model may take when decoded.
const FREE: u64 = 64 << 20;
/// Further memory that a model may take for each byte of its file. This is twice the factor of a list of small
/// integers, which is the largest factor of a substantial part of real models.
const BYTES_PER_BYTE: u64 = 16;
/// Overhead of an allocation, in bytes.
const ALLOCATION: u64 = 16;
/// Overhead of a string in a list, in bytes.
const TEXT: u64 = size_of::<String>() as u64;

/// Computes the memory in bytes that a model takes when decoded, without decoding it. An empty node takes two bytes in
/// a file and 240 in memory, so a small file could fill the memory.
///
/// # Errors
/// [`OnnxError::Malformed`] if the memory is out of proportion to the size of the file, or if messages are nested too
/// deeply.
pub(crate) fn decoded_size(bytes: &[u8]) -> Result<u64, OnnxError> {
    let most = FREE + BYTES_PER_BYTE * bytes.len() as u64;
    let mut size = 0;
    // Malformed messages are reported by the decoder, which reads no further than this.
    match add(bytes, &MODEL, 0, most, &mut size) {
        Err(Stop::TooLarge) => Err(OnnxError::Malformed(format!(
            "its {} bytes would fill more than {} MiB of memory once decoded, which no model does that is not made to",
            bytes.len(),
            most >> 20
        ))),
        Err(Stop::TooDeep) => {
            Err(OnnxError::Malformed(format!("its messages are nested more than {MAX_DEPTH} deep")))
        }
        Err(Stop::Malformed) | Ok(()) => Ok(size),
    }
}

/// Why the computation stopped before the end of the model.
enum Stop {
    TooLarge,
    TooDeep,
    Malformed,
}

/// Adds the memory of the content of a message, without the message itself, to `size`. Stops when `size` exceeds `most`.
fn add(message: &[u8], schema: &Schema, depth: usize, most: u64, size: &mut u64) -> Result<(), Stop> {
    if depth > MAX_DEPTH {
        return Err(Stop::TooDeep);
    }
    for field in Fields::of(message) {
        let (number, value) = field.ok_or(Stop::Malformed)?;
        // Decoders skip unknown fields and groups. The content of a group is counted nevertheless.
        let Some(kind) = schema.field(number) else { continue };
        let content: &[u8] = if let Value::Bytes(bytes) = value { bytes } else { &[] };
        let length = content.len() as u64;
        let allocation = if length == 0 { 0 } else { length + ALLOCATION };
        *size += match (kind, value) {
            (_, Value::Group) | (Kind::Scalar | Kind::Inline(_), _) => 0,
            (Kind::Text, _) => allocation,
            (Kind::Texts, _) => TEXT + allocation,
            (Kind::Floats, Value::Bytes(_)) => length,
            (Kind::Integers(each), Value::Bytes(_)) => each * numbers(content),
            (Kind::Floats | Kind::Integers(_), _) => 8,
            (Kind::Boxed(schema), _) => schema.size + ALLOCATION,
            (Kind::Many(schema), _) => schema.size,
        };
        if *size > most {
            return Err(Stop::TooLarge);
        }
        if let Some(schema) = kind.message() {
            add(content, schema, depth + 1, most, size)?;
        }
    }
    Ok(())
}

/// Number of consecutive varints in `bytes`: each ends with a byte below 128.
fn numbers(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte < 0x80).count() as u64
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::messages::{
        AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, SequenceType, TensorProto,
        TypeProto, TypeValue, ValueInfoProto,
    };

    fn model(graph: GraphProto) -> Vec<u8> {
        let opset_import = vec![OperatorSetIdProto::default()];
        ModelProto { graph: Some(graph), opset_import, ..ModelProto::default() }.encode_to_vec()
    }

    fn size(bytes: &[u8]) -> u64 {
        let mut size = 0;
        assert!(add(bytes, &MODEL, 0, u64::MAX, &mut size).is_ok());
        size
    }

    fn refusal(bytes: &[u8]) -> Option<String> {
        decoded_size(bytes).err().map(|error| error.to_string())
    }

    #[test]
    fn messages_texts_and_numbers_are_counted_as_they_are_in_memory() {
        let empty = size(&model(GraphProto::default()));
        let of = |graph| size(&model(graph)) - empty;
        let node = NodeProto { input: vec!["a".into(), String::new()], ..NodeProto::default() };
        let node_size = size_of::<NodeProto>() as u64;
        assert_eq!(
            of(GraphProto { node: vec![node; 3], ..GraphProto::default() }),
            3 * (node_size + 48 + 17)
        );
        let tensor = TensorProto {
            int64_data: vec![1, -1, 300],
            int32_data: vec![7; 5],
            float_data: vec![0.5; 4],
            raw_data: Some(vec![0; 100]),
            ..TensorProto::default()
        };
        let tensor_size = size_of::<TensorProto>() as u64 + 24 + 20 + 16 + 116;
        assert_eq!(
            of(GraphProto { initializer: vec![tensor.clone()], ..GraphProto::default() }),
            tensor_size
        );
        let attribute =
            AttributeProto { t: Some(Box::new(tensor)), ints: vec![1, 2], ..AttributeProto::default() };
        let node = NodeProto { attribute: vec![attribute], ..NodeProto::default() };
        let attribute_size = size_of::<AttributeProto>() as u64 + ALLOCATION + tensor_size + 16;
        assert_eq!(of(GraphProto { node: vec![node], ..GraphProto::default() }), node_size + attribute_size);
    }

    #[test]
    fn what_is_out_of_proportion_is_refused_wherever_it_hides() {
        let many = 3 << 20;
        let nodes = model(GraphProto { node: vec![NodeProto::default(); many], ..GraphProto::default() });
        let text = refusal(&nodes).unwrap();
        assert!(text.contains("would fill more than 160 MiB of memory"), "{text}");
        // In a group, in front of what is malformed, after what is unknown.
        let grouped = [&[0x9b, 0x06], &nodes[..], &[0x9c, 0x06]].concat();
        assert!(refusal(&grouped).is_some() && refusal(&[&nodes[..], &[0xff]].concat()).is_some());
        assert!(refusal(&[&[0x98, 0x06, 1], &nodes[..]].concat()).is_some());
        let node = NodeProto { input: vec![String::new(); many * 4], ..NodeProto::default() };
        assert_eq!(refusal(&model(GraphProto { node: vec![node], ..GraphProto::default() })), None);
        let attribute = AttributeProto { floats: vec![], ..AttributeProto::default() };
        let node = NodeProto { attribute: vec![attribute; many], ..NodeProto::default() };
        assert!(refusal(&model(GraphProto { node: vec![node], ..GraphProto::default() })).is_some());
    }

    #[test]
    fn large_tensors_of_the_smallest_numbers_are_no_matter() {
        let tensor = TensorProto { int64_data: vec![0; 32 << 20], ..TensorProto::default() };
        let bytes = model(GraphProto { initializer: vec![tensor], ..GraphProto::default() });
        assert!(size(&bytes) > FREE * 2);
        assert_eq!(refusal(&bytes), None);
    }

    #[test]
    fn nesting_deeper_than_decoders_follow_is_said() {
        let deep = |levels: usize| {
            let mut inner = TypeProto::default();
            for _ in 0..levels {
                let value = TypeValue::Sequence(Box::new(SequenceType { elem_type: Some(Box::new(inner)) }));
                inner = TypeProto { value: Some(value), ..TypeProto::default() };
            }
            let info = ValueInfoProto { r#type: Some(inner), ..ValueInfoProto::default() };
            model(GraphProto { value_info: vec![info], ..GraphProto::default() })
        };
        // Graph, value and outermost type, then a sequence and a type for each level.
        for (levels, refused) in [(48, false), (49, true)] {
            let bytes = deep(levels);
            assert_eq!(refusal(&bytes).is_some(), refused, "{levels}");
            assert_eq!(ModelProto::decode(&bytes[..]).is_err(), refused, "{levels}");
        }
        assert!(refusal(&deep(60)).unwrap().contains("nested more than 100 deep"));
    }
}
