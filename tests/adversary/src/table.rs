//! Tables of what happened.

use std::{
    num::NonZero,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use crate::shares::Share;

/// What became of one entry.
pub struct Row {
    /// Its kind.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// What happened, or what happened instead of what must.
    pub result: Result<String, String>,
}

/// Checks entries on all threads of the machine, in the order that they have.
pub fn check_all<T: Sync>(entries: &[T], check: impl Fn(&T) -> Row + Sync) -> Vec<Row> {
    let (next, rows) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(entries.len());
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((number, entry)) = Some(next.fetch_add(1, Ordering::Relaxed))
                    .and_then(|number| Some((number, entries.get(number)?)))
                {
                    let row = check(entry);
                    if let Ok(mut rows) = rows.lock() {
                        rows.push((number, row));
                    }
                }
            });
        }
    });
    let mut rows = rows.into_inner().unwrap_or_default();
    rows.sort_by_key(|(number, _)| *number);
    rows.into_iter().map(|(_, row)| row).collect()
}

/// Prints rows; returns how many are not as they must be.
pub fn print_rows(title: &str, rows: &[Row]) -> usize {
    let wrong = rows.iter().filter(|row| row.result.is_err()).count();
    println!("{title}: {} entries, {wrong} not as they must be", rows.len());
    for Row { kind, name, result } in rows {
        match result {
            Ok(what) => println!("  ok   {kind}: {name}: {}", shortened(what)),
            Err(what) => println!("  FAIL {kind}: {name}: {}", what.trim_end()),
        }
    }
    wrong
}

fn shortened(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() > 120 {
        line.chars().take(117).chain("...".chars()).collect()
    } else {
        line.into()
    }
}

/// Prints what the columns of shares are.
pub fn print_share_columns(title: &str) {
    println!("{title}");
    let columns = ["rule, noise, mode, way", "level", "trials", "certified", "false", "share", "chance"];
    let [name, level, trials, certified, wrong, share, chance] = columns;
    println!("  {name:<52} {level:>5} {trials:>7} {certified:>9} {wrong:>6} {share:>7} {chance:>9}");
}

/// Prints shares; returns how many are above α beyond their own error.
pub fn print_shares(shares: &[Share]) -> usize {
    for share in shares {
        let Share { name, level, trials, certified, wrong } = share;
        let (part, chance) = (share.wrong_share(), share.chance());
        let mark = if share.is_above() { " ABOVE" } else { "" };
        println!(
            "  {name:<52} {level:>5} {trials:>7} {certified:>9} {wrong:>6} {part:>7.4} {chance:>9.2e}{mark}"
        );
    }
    shares.iter().filter(|share| share.is_above()).count()
}
