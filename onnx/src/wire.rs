//! Reading the protobuf wire format field by field, without allocation.

/// Deepest nesting of messages that is accepted, as in usual protobuf decoders.
pub(crate) const MAX_DEPTH: usize = 100;

/// The value of a field in the wire format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// A number of variable length (varint).
    Varint,
    /// A number of 4 or 8 bytes.
    Fixed,
    /// A string, bytes, a message, or packed numbers.
    Bytes(&'a [u8]),
    /// The start or end of a group, which ONNX does not use and decoders skip.
    Group,
}

/// Iterator over the fields of a message as pairs of number and value. Yields `None` and ends where the message is
/// malformed.
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub fn of(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    fn take(&mut self) -> Option<(u32, Value<'a>)> {
        let tag = varint(&mut self.rest)?;
        let number = u32::try_from(tag >> 3).ok()?;
        let value = match tag & 7 {
            0 => varint(&mut self.rest).map(|_| Value::Varint)?,
            1 => self.bytes(8).map(|_| Value::Fixed)?,
            2 => {
                let length = varint(&mut self.rest)?;
                Value::Bytes(self.bytes(length)?)
            }
            3 | 4 => Value::Group,
            5 => self.bytes(4).map(|_| Value::Fixed)?,
            _ => return None,
        };
        Some((number, value))
    }

    fn bytes(&mut self, length: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(usize::try_from(length).ok()?)?;
        self.rest = rest;
        Some(taken)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Option<(u32, Value<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.take();
        if field.is_none() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// Reads a varint and removes it from `bytes`.
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
