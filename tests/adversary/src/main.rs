//! Prints what happens to hostile models and forged evidence, and the share of false certificates. With the arguments of
//! `rscert` it is that program: it runs itself to see what users see.

use std::{env, process::ExitCode};

use mithridate_adversary::{
    evidence, models, shares,
    table::{Row, check_all, print_rows, print_share_columns, print_shares},
};
use mithridate_testkit::program::Program;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let parts: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if !parts.iter().all(|part| ["models", "evidence", "shares"].contains(part)) {
        return mithridate_runtime::cli::main();
    }
    match run(&parts) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Prints the parts named, or all; returns how many things are not as they must be.
fn run(parts: &[&str]) -> anyhow::Result<usize> {
    let is_wanted = |part| parts.is_empty() || parts.contains(&part);
    let program = Program::this()?;
    let mut wrong = 0;
    if is_wanted("models") {
        let rows = check_all(&models::all(), |entry| Row {
            kind: entry.kind,
            name: entry.name.clone(),
            result: models::check(&program, entry),
        });
        wrong += print_rows("hostile and odd models", &rows);
    }
    if is_wanted("evidence") {
        let honest = evidence::Honest::make(&program)?;
        let rows = check_all(&evidence::all(), |entry| Row {
            kind: entry.kind,
            name: entry.name.into(),
            result: evidence::check(&program, &honest, entry),
        });
        wrong += print_rows("forged evidence", &rows);
    }
    if is_wanted("shares") {
        let trials = shares::trials();
        print_share_columns(&format!("false certificates at alpha {}", shares::ALPHA));
        wrong += shares::all(trials, |shares| {
            print_shares(shares);
        })?
        .iter()
        .filter(|share| share.is_above())
        .count();
        print_share_columns("procedures that are wrong on purpose: each must be above alpha at some level");
        let found = shares::all_wrong(trials)?;
        print_shares(&found);
        for name in [
            "the samples that chose the class used again",
            "answers mixed over the batch",
            "the best of ten seeds",
        ] {
            wrong += usize::from(!found.iter().any(|share| share.name == name && share.is_above()));
        }
        for (what, sentence) in ["a run", "frames"].iter().zip(shares::refuses_mixing()?) {
            println!("a model that mixes its batch, {what}: {}", sentence.as_deref().unwrap_or("certified"));
            wrong += usize::from(sentence.is_none());
        }
    }
    Ok(wrong)
}
