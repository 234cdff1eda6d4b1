//! The text itself.

use super::{Change, Entry, Must};

const KIND: &str = "text";

type Edit = fn(&str) -> Vec<u8>;
type Words = &'static [&'static str];

fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

fn replaced(text: &str, from: &str, to: &str) -> Vec<u8> {
    text.replacen(from, to, 1).into_bytes()
}

#[allow(clippy::too_many_lines)] // A table.
pub fn all() -> Vec<Entry> {
    let entries: [(&str, Edit, Words); 24] = [
        (
            "a line removed",
            |text| {
                let mut lines = lines(text);
                lines.remove(3);
                lines.concat().into_bytes()
            },
            &["removed"],
        ),
        (
            "a line twice",
            |text| {
                let mut lines = lines(text);
                lines.insert(3, lines[3]);
                lines.concat().into_bytes()
            },
            &["out of order"],
        ),
        (
            "two lines in the other order",
            |text| {
                let mut lines = lines(text);
                lines.swap(2, 3);
                lines.concat().into_bytes()
            },
            &[],
        ),
        (
            "no footer",
            |text| {
                let mut lines = lines(text);
                lines.pop();
                lines.concat().into_bytes()
            },
            &["no footer"],
        ),
        (
            "two footers",
            |text| {
                let mut lines = lines(text);
                lines.extend(lines.last().copied());
                lines.concat().into_bytes()
            },
            &["after the footer"],
        ),
        (
            "two headers",
            |text| {
                let mut lines = lines(text);
                lines.insert(1, lines[0]);
                lines.concat().into_bytes()
            },
            &["second header"],
        ),
        ("no header", |text| lines(text)[1..].concat().into_bytes(), &["it is not a header"]),
        ("a line after the footer", |text| format!("{text}{{}}\n").into_bytes(), &[]),
        (
            "the last line cut off",
            |text| text.as_bytes()[..text.len() - 9].to_vec(),
            &["its last line is incomplete"],
        ),
        ("nothing", |_| Vec::new(), &["no complete line"]),
        ("a byte-order mark", |text| format!("\u{feff}{text}").into_bytes(), &["line 1"]),
        ("line ends of Windows", |text| text.replace('\n', "\r\n").into_bytes(), &[]),
        ("an empty line", |text| text.replacen('\n', "\n\n", 1).into_bytes(), &["line 2"]),
        ("a byte of zero", |text| text.replacen('\n', "\0\n", 1).into_bytes(), &["line 1"]),
        (
            "bytes that are no text",
            |text| {
                let mut bytes = text.as_bytes().to_vec();
                bytes[10] = 0xff;
                bytes
            },
            &["not UTF-8"],
        ),
        (
            "more certificates in the footer",
            |text| {
                let Some((before, after)) = text.rsplit_once("\"certified\":") else { return Vec::new() };
                format!("{before}\"certified\":9{after}").into_bytes()
            },
            &["number of certificates"],
        ),
        (
            "another hash in the footer",
            |text| {
                let Some((before, after)) = text.rsplit_once("\"sha256\":\"") else { return Vec::new() };
                format!("{before}\"sha256\":\"00{}", &after[2..]).into_bytes()
            },
            &["hash of the lines before"],
        ),
        (
            "a field that there is not",
            |text| replaced(text, "\"tool\":", "\"trust\":1,\"tool\":"),
            &["it was changed"],
        ),
        ("a field twice", |text| replaced(text, "\"alpha\":", "\"alpha\":0.5,\"alpha\":"), &["line 1"]),
        ("a field removed", |text| replaced(text, "\"samples\":", "\"sampled\":"), &["missing field"]),
        ("a number of 1e999", |text| replaced(text, "\"p_lower\":", "\"p_lower\":1e999,\"q\":"), &[]),
        (
            "a sigma of -1",
            |text| replaced(text, "\"sigma\":0.25", "\"sigma\":-1"),
            &["sigma must be a number from"],
        ),
        (
            "a part 3 of 2",
            |text| replaced(text, "\"selection\":{", "\"shard\":\"3/2\",\"selection\":{"),
            &["line 1"],
        ),
        (
            "lists within lists without end",
            |text| {
                replaced(text, "\"class_names\":", &format!("\"deep\":{}", "[".repeat(100_000)))
                    .into_iter()
                    .chain("[".repeat(100_000).into_bytes())
                    .chain(*b"\n")
                    .collect()
            },
            &[],
        ),
    ];
    entries
        .into_iter()
        .map(|(name, change, words)| {
            Entry::new(KIND, name, "run.jsonl", Change::Text(change), Must::Alone(words))
        })
        .collect()
}
