//! Certifies a changed model from the run of the model before it, and verifies both runs: what `rscert recertify` and
//! `rscert verify` do, from a program of one's own.
//!
//! ```text
//! rscert certify --model OLD --data DATA --sigma 0.25 --keep-votes --out old.jsonl
//! cargo run --release -p mithridate-examples --bin audit-a-changed-model -- old.jsonl OLD NEW DATA new.jsonl
//! ```

use std::sync::Arc;

use mithridate_runtime::jobs::{Control, ModelSettings, Observer, Recertify, Share, Verify};

/// Shows what a job notes; progress could be shown by the other methods.
struct Notes;

impl Observer for Notes {
    fn note(&self, text: &str) {
        eprintln!("note: {text}");
    }
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [old_run, old_model, new_model, data, new_run] = &arguments[..] else {
        anyhow::bail!("usage: audit-a-changed-model OLD_RUN OLD_MODEL NEW_MODEL DATA NEW_RUN");
    };
    let control = Control { observer: Arc::new(Notes), ..Control::default() };

    let mut recertify = Recertify::new(old_run, ModelSettings::new(new_model), data, new_run);
    recertify.n = 1000;
    let done = recertify.run(&control)?;
    println!(
        "{} of {} inputs rest on the earlier run; {:.2} % of its votes changed",
        done.incremental,
        done.evidence.records.len(),
        100.0 * done.share_changed
    );

    let mut verify = Verify::new(new_run);
    verify.model = Some(ModelSettings::new(new_model));
    verify.data = Some(data.into());
    verify.from = Some(old_run.into());
    verify.from_model = Some(old_model.into());
    verify.replay = Some(Share::Some(3));
    let found = verify.run(&control)?;
    for problem in &found.verification.problems {
        println!("does not hold: {}", problem.problem);
    }
    for missing in &found.verification.not_checked {
        println!("not checked: {}: {}", missing.subject, missing.detail);
    }
    anyhow::ensure!(found.verification.holds(), "{new_run} does not hold");
    println!("{new_run} holds; result {}", found.verification.chain);
    Ok(())
}
