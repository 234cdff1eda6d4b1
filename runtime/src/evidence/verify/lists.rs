use serde::Serialize;

use super::{TOOL, Verification};
use crate::evidence::{Header, Machine};

/// A claim that was checked, is only stated, or was not checked: an entry of one of the three lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Claim {
    /// The subject in a word or two, such as `model`.
    pub subject: &'static str,
    /// The comparison made, the statement of the file, or the missing file.
    pub detail: String,
}

impl Verification {
    /// Adds an entry to the list of checked claims, and removes the subject from the list of claims that were not checked.
    pub fn add_checked(&mut self, subject: &'static str, detail: impl Into<String>) {
        self.not_checked.retain(|claim| claim.subject != subject);
        self.checked.push(Claim { subject, detail: detail.into() });
    }

    /// Adds an entry to the list of claims that the file states and nobody can check. Replaces an entry with the same
    /// subject.
    pub fn add_stated(&mut self, subject: &'static str, detail: impl Into<String>) {
        let detail = detail.into();
        match self.stated.iter_mut().find(|claim| claim.subject == subject) {
            Some(claim) => claim.detail = detail,
            None => self.stated.push(Claim { subject, detail }),
        }
    }

    /// Adds an entry to the list of claims that were not checked; `detail` names the claim and the file that is needed to
    /// check it. Replaces an entry with the same subject.
    pub fn add_not_checked(&mut self, subject: &'static str, detail: impl Into<String>) {
        self.not_checked.retain(|claim| claim.subject != subject);
        self.not_checked.push(Claim { subject, detail: detail.into() });
    }

    /// Fills the lists after the checks that need only the evidence file.
    pub(super) fn begin_lists(&mut self, header: &Header) {
        // Subjects with problems are not listed as checked.
        let of = |lines: fn(usize) -> bool| self.problems.iter().any(|problem| lines(problem.line));
        let (file, header_line, records) = (of(|line| line == 0), of(|line| line == 1), of(|line| line > 1));
        if !file && !header_line && !records {
            self.add_checked("file", "form, hash chain, order and totals");
        }
        if !records {
            self.add_checked(
                "certificates",
                "class, bound and radius of each input, computed again from its votes in two ways",
            );
        }
        if !header_line {
            self.add_checked(
                "header",
                "settings, generator of the noise, shape and range of images, sigma in units of the model, claims",
            );
        }
        self.state_circumstances(header);
        if let Some(shard) = header.shard {
            self.add_not_checked(
                "other parts",
                format!("this is part {shard} of a run; `rscert merge` joins all parts"),
            );
        }
        self.add_not_checked("model", "that it is the certified one: give `model`");
        self.add_not_checked(
            "data",
            "that the images, labels and selected inputs are the certified ones: give `data`",
        );
        if header.keeps_votes {
            self.add_not_checked(
                "votes",
                "the vote of each sample: they are kept in a file beside the evidence",
            );
        }
        if header.recertification.is_some() {
            self.add_not_checked(
                "earlier run",
                "the bounds of the earlier run, its settings and its data: give `from`",
            );
            self.add_not_checked(
                "earlier model",
                "that it gave the votes of the earlier run: give `from_model`",
            );
            self.add_stated(
                "changed votes",
                "the numbers of changed and lost votes: give `replay`, and `from` with the votes kept beside it",
            );
            self.add_stated(
                "order of model and noise",
                "the noise of the earlier run was known before the changed model was made, and could have been used to \
                 make it: its bounds hold for a model that was made without looking at that noise",
            );
        }
        self.add_not_checked(
            "replay",
            "that the model gives these votes for this noise: give `model`, `data` and `replay`",
        );
    }

    fn state_circumstances(&mut self, header: &Header) {
        let Header { execution, machine, tool, .. } = header;
        let beside = |there: &str, here: &str| {
            if there == here { format!("{there}, as here") } else { format!("{there}; here {here}") }
        };
        let in_words = |Machine { system, processor, threads }: &Machine| {
            format!("{processor}, {threads} threads, {system}")
        };
        self.add_stated("program", beside(tool, TOOL));
        self.add_stated(
            "engine",
            format!("{} on {} in {}", execution.engine, execution.provider, execution.precision),
        );
        self.add_stated("machine", beside(&in_words(machine), &in_words(&Machine::this())));
        let seconds: f64 = self.records.iter().map(|record| record.seconds).sum();
        self.add_stated(
            "time",
            format!("begun at Unix time {}; the samples took {seconds:.0} s", header.started),
        );
        let plan = execution.plan;
        self.add_stated(
            "plan",
            format!(
                "batches of {}, {} instances of the model with {} threads",
                plan.batch, plan.sessions, plan.threads
            ),
        );
        self.add_stated("names", format!("{} and {}", header.model.file, header.data.file));
    }
}
