//! The tab-separated table of certificates that is common in publications on randomized smoothing.

use std::{collections::BTreeSet, fmt::Write, path::Path};

use super::{Evidence, EvidenceError, Record, line_checker::check_line, parse_evidence, read::read_text};
use crate::statistics::round_down;

/// Certificates without evidence: the table of Cohen et al. (2019) with the columns `idx`, `label`, `predict` and
/// `radius`, and usually `correct` and `time`.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// One row for each input.
    pub rows: Vec<Row>,
}

/// The outcome of one input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// Index of the input in the data set.
    pub index: u64,
    /// Label (true class), if known.
    pub label: Option<usize>,
    /// Certified class; `None` for an abstention.
    pub class: Option<usize>,
    /// Certified radius; 0 for an abstention.
    pub radius: f64,
    /// Value of one unit of the last printed digit of the radius, such as 0.001 for 0.413.
    pub unit: f64,
}

/// Upper limit of valid radii: σ is at most 10,000, and beyond 40 σ the tail of the normal distribution underflows to 0.
const MOST_RADIUS: f64 = 400_000.0;

const COLUMNS: [&str; 6] = ["idx", "label", "predict", "radius", "correct", "time"];

/// Writes the table of a run. Radii have four decimals, rounded down. An abstention has the class −1 and the radius 0.0.
/// Without a label, the columns `label` and `correct` are empty. Times are written as h:mm:ss with microseconds.
pub fn to_table(records: &[Record]) -> String {
    let mut text = COLUMNS.join("\t") + "\n";
    for record in records {
        let class = if record.abstained { None } else { record.class };
        let predict = class.map_or_else(|| "-1".to_owned(), |class| class.to_string());
        let radius = if class.is_some() { round_down(record.radius, 4) } else { "0.0".into() };
        let (minutes, seconds) = ((record.seconds / 60.0).floor(), record.seconds % 60.0);
        let _ = writeln!(
            text,
            "{}\t{}\t{predict}\t{radius}\t{}\t{}:{:02}:{seconds:09.6}",
            record.index,
            record.label.map(|label| label.to_string()).unwrap_or_default(),
            record.label.map(|_| u8::from(record.is_right()).to_string()).unwrap_or_default(),
            (minutes / 60.0).floor(),
            minutes % 60.0
        );
    }
    text
}

/// Whether a file that starts with the bytes `start` is a table and not evidence, which starts with a brace.
pub fn is_table(start: &[u8]) -> bool {
    String::from_utf8_lossy(start).lines().next().is_some_and(|line| {
        !line.trim_start().starts_with('{') && line.split('\t').any(|name| name.trim() == "idx")
    })
}

/// Parses a table. The first line names the columns, which can be in any order; unknown columns are ignored.
///
/// # Errors
/// A message with the number of the line.
///
/// ```
/// use mithridate_runtime::evidence::parse_table;
///
/// let table = parse_table("idx\tlabel\tpredict\tradius\n0\t7\t7\t0.413\n3\t2\t-1\t0.0\n")?;
/// assert_eq!((table.rows[0].class, table.rows[0].radius), (Some(7), 0.413));
/// assert_eq!(table.rows[1].class, None);
/// # Ok::<(), String>(())
/// ```
pub fn parse_table(text: &str) -> Result<Table, String> {
    if let Some((number, Err(problem))) =
        text.lines().map(check_line).enumerate().find(|(_, checked)| checked.is_err())
    {
        return Err(format!("line {}: {problem}", number + 1));
    }
    let mut lines = text.lines().enumerate().map(|(number, line)| (number + 1, line.trim_end_matches('\r')));
    let names: Vec<&str> =
        lines.next().map(|(_, line)| line.split('\t').map(str::trim).collect()).unwrap_or_default();
    let place = |name: &str| {
        let missing =
            || format!("line 1 has no column '{name}'; the columns are idx, label, predict, radius");
        names.iter().position(|found| *found == name).ok_or_else(missing)
    };
    let [index, label, predict, radius] =
        [place("idx")?, place("label")?, place("predict")?, place("radius")?];
    let correct = names.iter().position(|name| *name == "correct");
    let mut seen = BTreeSet::new();
    let mut rows = Vec::new();
    for (number, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        let cells: Vec<&str> = line.split('\t').map(str::trim).collect();
        let cell = |column: usize| {
            cells
                .get(column)
                .copied()
                .ok_or_else(|| format!("line {number} has no value for '{}'", names[column]))
        };
        let wrong = |column: usize, expected: &str| {
            let found = cells.get(column).copied().unwrap_or_default();
            format!("line {number}: {} must be {expected} and is '{found}'", names[column])
        };
        let row_index: u64 =
            cell(index)?.parse().map_err(|_| wrong(index, "a whole number that is not negative"))?;
        let row_label: Option<usize> = match cell(label)? {
            "" => None,
            text => Some(text.parse().map_err(|_| wrong(label, "a class, or empty if it is not known"))?),
        };
        let class = match cell(predict)? {
            "-1" => None,
            text => {
                Some(text.parse::<usize>().map_err(|_| wrong(predict, "a class, or -1 for an abstention"))?)
            }
        };
        let printed = cell(radius)?;
        let value: f64 = printed.parse().map_err(|_| wrong(radius, "a number"))?;
        if !value.is_finite() || value < 0.0 {
            return Err(wrong(radius, "a finite number that is not negative"));
        }
        if value > MOST_RADIUS {
            return Err(wrong(radius, &format!("at most {MOST_RADIUS}, the largest possible radius,")));
        }
        if class.is_none() && value > 0.0 {
            return Err(wrong(radius, "0.0 for an abstention"));
        }
        if let Some(column) = correct {
            let expected = match row_label {
                None => "",
                Some(_) if class == row_label => "1",
                Some(_) => "0",
            };
            if cell(column)? != expected {
                return Err(wrong(column, expected));
            }
        }
        if !seen.insert(row_index) {
            return Err(format!("line {number}: input {row_index} occurs twice"));
        }
        rows.push(Row {
            index: row_index,
            label: row_label,
            class,
            radius: value,
            unit: last_digit(printed),
        });
    }
    if rows.is_empty() { Err("it contains no row".into()) } else { Ok(Table { rows }) }
}

/// Value of one unit of the last digit of a printed number: 0.001 for 0.413, 1e-6 for 4.13e-4.
fn last_digit(printed: &str) -> f64 {
    let (digits, exponent) = printed.split_once(['e', 'E']).unwrap_or((printed, "0"));
    let decimals = digits.split_once('.').map_or(0, |(_, decimals)| decimals.len() as i32);
    10_f64.powi(exponent.parse::<i32>().unwrap_or(0).saturating_sub(decimals))
}

/// The content of a file of results.
#[derive(Clone, Debug, PartialEq)]
pub enum Results {
    /// A run with evidence.
    Evidence(Box<Evidence>),
    /// A table.
    Table(Table),
}

/// Reads a file of results, either evidence or a table.
///
/// # Errors
/// Those of [`read_evidence`](super::read_evidence), or [`EvidenceError::Table`].
pub fn read_results(path: &Path) -> Result<Results, EvidenceError> {
    let text = read_text(path)?;
    let no_table = |problem| EvidenceError::Table { path: path.to_owned(), problem };
    // Some editors write a byte order mark first.
    let of_table = text.trim_start_matches('\u{feff}');
    if is_table(of_table.as_bytes()) {
        Ok(Results::Table(parse_table(of_table).map_err(no_table)?))
    } else if of_table
        .lines()
        .next()
        .is_some_and(|line| line.split([',', ';']).any(|name| name.trim() == "idx"))
    {
        Err(no_table("its columns must be separated by tabs".into()))
    } else {
        Ok(Results::Evidence(Box::new(parse_evidence(path, &text)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(index: u64, class: Option<usize>, radius: f64) -> Record {
        Record {
            index,
            label: Some(1),
            class,
            selection: vec![].into(),
            estimation: vec![].into(),
            samples: 1,
            p_lower: 0.5,
            radius,
            radii: None,
            abstained: radius == 0.0,
            votes_sha256: None,
            change: None,
            seconds: 3725.25,
        }
    }

    #[test]
    fn what_is_written_is_read_and_radii_are_rounded_down() {
        let text =
            to_table(&[record(4, Some(1), 0.97768), record(9, Some(0), 0.5), record(10, Some(1), 0.0)]);
        assert_eq!(
            text,
            "idx\tlabel\tpredict\tradius\tcorrect\ttime\n4\t1\t1\t0.9776\t1\t1:02:05.250000\n\
             9\t1\t0\t0.5000\t0\t1:02:05.250000\n10\t1\t-1\t0.0\t0\t1:02:05.250000\n"
        );
        let rows = parse_table(&text).unwrap().rows;
        assert_eq!(
            rows.iter().map(|row| (row.class, row.radius)).collect::<Vec<_>>(),
            [(Some(1), 0.9776), (Some(0), 0.5), (None, 0.0)]
        );
        assert_eq!(rows[0].unit, 1e-4);
    }

    #[test]
    fn both_formats_of_numbers_and_any_order_of_columns() {
        let rows = parse_table("radius\tpredict\tnote\tidx\tlabel\n0.978\t3\tx\t0\t3\n1.2e-05\t3\ty\t2\t0\n")
            .unwrap()
            .rows;
        assert_eq!((rows[0].unit, rows[1].radius), (0.001, 1.2e-5));
        assert!((rows[1].unit / 1e-6 - 1.0).abs() < 1e-9);
    }

    #[test]
    fn what_is_no_table_is_said_with_its_line() {
        let start = "idx\tlabel\tpredict\tradius\tcorrect\n";
        for (rows, problem) in [
            ("", "it contains no row"),
            ("0\t1\t1\n", "line 2 has no value for 'radius'"),
            ("x\t1\t1\t0.5\t1\n", "line 2: idx must be a whole number that is not negative and is 'x'"),
            ("0\t1\t-2\t0.5\t1\n", "line 2: predict must be a class, or -1 for an abstention and is '-2'"),
            ("0\t1\t1\tnan\t1\n", "line 2: radius must be a finite number that is not negative and is 'nan'"),
            (
                "0\t1\t1\t1e308\t1\n",
                "line 2: radius must be at most 400000, the largest possible radius, and is '1e308'",
            ),
            ("0\t1\t-1\t0.5\t0\n", "line 2: radius must be 0.0 for an abstention and is '0.5'"),
            ("0\t1\t2\t0.5\t1\n", "line 2: correct must be 0 and is '1'"),
            ("0\t1\t1\t0.5\t1\n\n0\t1\t1\t0.5\t1\n", "line 4: input 0 occurs twice"),
        ] {
            assert_eq!(parse_table(&format!("{start}{rows}")).unwrap_err(), problem);
        }
        assert!(parse_table("idx\tlabel\n").unwrap_err().contains("no column 'predict'"));
        assert!(parse_table("").is_err());
    }
}
