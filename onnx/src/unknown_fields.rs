use crate::{
    OnnxError,
    schema::{MODEL, Schema},
    wire::{Fields, MAX_DEPTH, Value},
};

/// Checks that the bytes of a model contain only fields that [`messages`](crate::messages) have, so that nothing is
/// lost when the model is decoded, changed and written.
///
/// # Errors
/// [`OnnxError::UnknownField`] with the first unknown field, [`OnnxError::Malformed`] if the bytes are not a valid
/// message.
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

fn check(bytes: &[u8], schema: &Schema, depth: usize) -> Result<(), OnnxError> {
    let malformed = || OnnxError::Malformed(format!("its {} is cut short or nested too deep", schema.name));
    if depth > MAX_DEPTH {
        return Err(malformed());
    }
    for field in Fields::of(bytes) {
        let (number, value) = field.ok_or_else(malformed)?;
        let Some(kind) = schema.field(number) else {
            return Err(OnnxError::UnknownField { message: schema.name, field: number });
        };
        match (kind.message(), value) {
            (_, Value::Group) => return Err(malformed()),
            (Some(message), Value::Bytes(bytes)) => check(bytes, message, depth + 1)?,
            _ => {}
        }
    }
    Ok(())
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
        // A decoder drops this field silently.
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
