//! Encoding of evidence files: canonical lines, the hash chain, and totals.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    Footer, Header, Record,
    format::{Chained, Line},
};
use crate::data::{hex, sha256};

/// Paths of the header fields that may differ between runs with the same result: time, machine, file names, shard.
const TIME_AND_PLACE: [&[&str]; 6] =
    [&["data", "file"], &["execution", "plan"], &["machine"], &["model", "file"], &["shard"], &["started"]];

/// A header as JSON without the fields of [`TIME_AND_PLACE`], with keys in alphabetical order.
fn comparable(header: &Header) -> serde_json::Result<Value> {
    let mut value = serde_json::to_value(header)?;
    for path in TIME_AND_PLACE {
        if let [parents @ .., name] = path {
            let parent = parents.iter().try_fold(&mut value, |value, key| value.get_mut(key));
            if let Some(Value::Object(map)) = parent {
                map.remove(*name);
            }
        }
    }
    value.sort_all_objects();
    Ok(value)
}

/// All differences that show that two headers are not of the same run. Time, machine, file names (not hashes), plan and
/// shard may differ, except that a batch size of 1 differs from any other batch size.
///
/// # Errors
/// If a header can't be written as JSON.
pub(super) fn differences(left: &Header, right: &Header) -> serde_json::Result<Vec<Difference>> {
    let mut found = Vec::new();
    collect(&comparable(left)?, &comparable(right)?, "", &mut found);
    // In batches of 1 an answer can't depend on other samples: that must be true of all certificates or be said of none.
    let batches = [left, right].map(|header| header.execution.plan.batch);
    if batches.iter().all(|&batch| batch > 0) && (batches[0] == 1) != (batches[1] == 1) {
        let [left, right] = batches.map(|batch| batch.to_string());
        found.push(Difference { name: "batch".into(), left, right });
    }
    Ok(found)
}

/// A setting in which two headers differ, with its value in each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    pub name: String,
    pub left: String,
    pub right: String,
}

fn collect(left: &Value, right: &Value, name: &str, found: &mut Vec<Difference>) {
    if let (Value::Object(left), Value::Object(right)) = (left, right) {
        let keys: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
        for key in keys {
            let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
            let [left, right] = [left, right].map(|map| map.get(key).unwrap_or(&Value::Null));
            collect(left, right, &name, found);
        }
    } else if left != right {
        found.push(Difference { name: name.into(), left: left.to_string(), right: right.to_string() });
    }
}

/// The first chain value: the SHA-256 of the header without the fields of [`TIME_AND_PLACE`].
fn first_link(header: &Header) -> serde_json::Result<String> {
    Ok(sha256(serde_json::to_string(&comparable(header)?)?.as_bytes()))
}

/// The next chain value: the SHA-256 of the previous one as text, followed by the record without its time.
fn next_link(chain: &str, record: &Record) -> serde_json::Result<String> {
    let mut value = serde_json::to_value(record)?;
    if let Value::Object(map) = &mut value {
        map.remove("seconds");
    }
    value.sort_all_objects();
    Ok(sha256(format!("{chain}{value}").as_bytes()))
}

/// Encodes a run as the lines of an evidence file.
#[derive(Clone)]
pub(super) struct Encoder {
    hash: Sha256,
    /// The hash of all lines without the last one.
    before_last: Sha256,
    n0: u64,
    totals: Footer,
}

impl Encoder {
    /// Starts a file; returns the encoder and the line of the header.
    pub fn begin(header: &Header) -> serde_json::Result<(Self, Vec<u8>)> {
        let totals = Footer { chain: first_link(header)?, ..Footer::default() };
        let mut encoder =
            Self { hash: Sha256::new(), before_last: Sha256::new(), n0: header.settings.n0, totals };
        let line = encoder.line(&Line::Header(Box::new(header.clone())))?;
        Ok((encoder, line))
    }

    /// The line of the next record.
    pub fn record(&mut self, record: &Record) -> serde_json::Result<Vec<u8>> {
        let chain = next_link(&self.totals.chain, record)?;
        self.totals.add(record, self.n0);
        self.totals.chain.clone_from(&chain);
        self.line(&Line::Input(Box::new(Chained { record: record.clone(), chain })))
    }

    /// The footer and its line.
    pub fn finish(&self) -> serde_json::Result<(Footer, Vec<u8>)> {
        let footer = Footer { sha256: hex(&self.hash.clone().finalize()), ..self.totals.clone() };
        let line = encode(&Line::Footer(footer.clone()))?;
        Ok((footer, line))
    }

    /// The last value of the chain.
    pub fn chain(&self) -> &str {
        &self.totals.chain
    }

    /// Continues as if the last line had been `line` with chain value `chain` (if given). So a changed line is reported
    /// alone and the lines after it are not.
    pub fn replace_line(&mut self, chain: Option<String>, line: &[u8]) {
        if let Some(chain) = chain {
            self.totals.chain = chain;
        }
        self.hash = self.before_last.clone();
        self.hash.update(line);
    }

    fn line(&mut self, line: &impl Serialize) -> serde_json::Result<Vec<u8>> {
        let bytes = encode(line)?;
        self.before_last = self.hash.clone();
        self.hash.update(&bytes);
        Ok(bytes)
    }
}

fn encode(line: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::example_header;

    /// JSON with its keys in alphabetical order, written without the code above.
    fn sorted(value: &Value) -> String {
        match value {
            Value::Object(map) => {
                let mut keys: Vec<&String> = map.keys().collect();
                keys.sort();
                let pairs: Vec<String> = keys
                    .iter()
                    .map(|key| format!("{}:{}", Value::from(key.as_str()), sorted(&map[*key])))
                    .collect();
                format!("{{{}}}", pairs.join(","))
            }
            Value::Array(values) => {
                format!("[{}]", values.iter().map(sorted).collect::<Vec<_>>().join(","))
            }
            other => other.to_string(),
        }
    }

    #[test]
    fn the_chain_is_what_the_documentation_says_it_is() {
        let header = example_header();
        let record: Record = serde_json::from_str(
            r#"{"index":3,"label":1,"class":null,"selection":[0,0],"estimation":[4,6],"samples":10,"p_lower":0.0,
                "radius":0.0,"abstained":true,"seconds":1.5}"#,
        )
        .unwrap();
        let (mut encoder, first) = Encoder::begin(&header).unwrap();
        let line = encoder.record(&record).unwrap();

        let mut content: Value = serde_json::from_slice(&first).unwrap();
        let map = content.as_object_mut().unwrap();
        for key in ["kind", "machine", "started"] {
            assert!(map.remove(key).is_some(), "{key}");
        }
        for (outer, inner) in [("data", "file"), ("model", "file"), ("execution", "plan")] {
            assert!(map[outer].as_object_mut().unwrap().remove(inner).is_some(), "{inner}");
        }
        let start = sha256(sorted(&content).as_bytes());
        let mut content: Value = serde_json::from_slice(&line).unwrap();
        let map = content.as_object_mut().unwrap();
        let chain = map.remove("chain").unwrap();
        assert!(map.remove("kind").is_some() && map.remove("seconds").is_some());
        assert_eq!(chain, sha256(format!("{start}{}", sorted(&content)).as_bytes()));
    }

    #[test]
    fn times_and_places_leave_the_chain_alone() {
        let chain = |change: fn(&mut Header)| {
            let mut header = example_header();
            change(&mut header);
            Encoder::begin(&header).unwrap().0.chain().to_owned()
        };
        let plain = chain(|_| {});
        assert_eq!(plain, chain(|header| header.started += 1));
        assert_eq!(plain, chain(|header| header.execution.plan.batch += 1));
        assert_eq!(plain, chain(|header| header.shard = "1/2".parse().ok()));
        assert_ne!(plain, chain(|header| header.settings.seed += 1));
        assert_ne!(plain, chain(|header| header.model.sha256.push('0')));
    }
}
