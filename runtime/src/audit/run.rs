use crate::{
    certify::{Nobody, Settings},
    evidence::{DataSource, Evidence, Recertification, Record, Table},
    noise::{Distribution, NoiseMode},
    statistics::{Norm, Radii, certified_radius, clopper_pearson_lower},
    units::{Alpha, Sigma},
};

/// A run to be audited, read from an evidence file or a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Name of its file.
    pub name: String,
    /// Name of the model's file, if known.
    pub model: Option<String>,
    /// Standard deviation of the noise, if known.
    pub sigma: Option<Sigma>,
    /// Distribution of the noise.
    pub noise: Distribution,
    /// Noise mode, if known. Certificates of inputs that share their noise may be wrong together.
    pub noise_mode: Option<NoiseMode>,
    /// Number of votes for nobody in all samples, if known.
    pub nobody: Option<Nobody>,
    /// Probability with which one certificate may be wrong.
    pub alpha: Alpha,
    /// Probability with which any certificate may be wrong, if the run makes a simultaneous claim.
    pub family_alpha: Option<Alpha>,
    /// Largest number of estimation samples for each input, if known.
    pub n: Option<u64>,
    /// The data, if known.
    pub data: Option<DataSource>,
    /// The outcome of each input, in the order of the file.
    pub outcomes: Vec<Outcome>,
    /// Remarks for the reader of the audit.
    pub notes: Vec<String>,
}

/// The outcome of one input: a certificate or an abstention.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Index of the input in the data set.
    pub index: u64,
    /// Label (true class), if known.
    pub label: Option<usize>,
    /// Certified class; `None` for an abstention.
    pub class: Option<usize>,
    /// Certified radius in the norm of the noise; 0 for an abstention.
    pub radius: f64,
}

impl Outcome {
    fn of(record: &Record) -> Self {
        let &Record { index, label, class, abstained, radius, .. } = record;
        Self { index, label, class: class.filter(|_| !abstained), radius }
    }

    /// Whether the certified class equals the label.
    pub fn is_right(&self) -> bool {
        self.class.is_some() && self.class == self.label
    }
}

/// Settings of a run that a table of certificates does not contain.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TableSettings {
    /// Standard deviation of the noise, if known.
    pub sigma: Option<Sigma>,
    /// Probability with which a certificate may be wrong.
    pub alpha: Alpha,
    /// Number of estimation samples for each input.
    pub n: u64,
}

impl Default for TableSettings {
    /// No noise level, and the usual α = 0.001 and n = 100,000.
    fn default() -> Self {
        Self { sigma: None, alpha: Alpha::USUAL, n: 100_000 }
    }
}

impl Run {
    /// The run recorded in an evidence file; `name` is the name of the file.
    pub fn of_evidence(name: &str, evidence: &Evidence) -> Self {
        let Evidence { header, records, .. } = evidence;
        let outcomes: Vec<Outcome> = records.iter().map(Outcome::of).collect();
        let notes = units_note(&header.model.r#use.sigma_in_model).into_iter();
        let nobody = votes_for_nobody(records);
        Self {
            name: name.into(),
            model: Some(header.model.file.clone()),
            sigma: Some(header.settings.sigma),
            noise: header.settings.distribution,
            noise_mode: Some(header.noise.mode),
            nobody: Some(nobody),
            alpha: header.settings.alpha,
            family_alpha: header.simultaneous.as_ref().map(|claim| claim.alpha),
            n: Some(header.settings.n),
            data: Some(header.data.clone()),
            notes: notes
                .chain(shared_note(header.noise.mode))
                .chain(earlier_note(header.recertification.as_ref()))
                .chain(stopping_note(&header.settings, records))
                .chain(nobody_note(nobody))
                .chain(labels_note(&outcomes))
                .collect(),
            outcomes,
        }
    }

    /// A run that is known only from a table of certificates for Gaussian noise; `name` is the name of the file. The
    /// only possible check is whether a radius is above the largest one that n samples can prove at level α; if so, the
    /// run has a note about it.
    pub fn of_table(name: &str, table: &Table, settings: TableSettings) -> Self {
        let TableSettings { sigma, alpha, n } = settings;
        let mut notes = vec![format!(
            "from a table, which can't be checked; alpha {alpha} and n {n} are the given ones, and independent noise of \
             all inputs is assumed"
        )];
        notes.extend(sigma.and_then(|sigma| ceiling_note(table, sigma, alpha, n)));
        let outcome = |row: &crate::evidence::Row| Outcome {
            index: row.index,
            label: row.label,
            class: row.class,
            radius: row.radius,
        };
        let outcomes: Vec<Outcome> = table.rows.iter().map(outcome).collect();
        notes.extend(labels_note(&outcomes));
        Self {
            name: name.into(),
            model: None,
            sigma,
            noise: Distribution::Gaussian,
            noise_mode: None,
            nobody: None,
            alpha,
            family_alpha: None,
            n: Some(n),
            data: None,
            outcomes,
            notes,
        }
    }

    /// Radius of an outcome in `norm` if its class is correct, else 0; see [`radius`](Self::radius).
    pub(super) fn right_radius(&self, outcome: &Outcome, norm: Norm) -> f64 {
        if outcome.is_right() { self.radius(outcome, norm) } else { 0.0 }
    }

    /// Radius of an outcome converted to `norm`. If the conversion needs the size of the inputs and that is not known,
    /// 0.
    pub(super) fn radius(&self, outcome: &Outcome, norm: Norm) -> f64 {
        let (own, radius) = (self.noise.norm(), outcome.radius);
        match self.values() {
            Some(values) => own.derive(radius, norm, values),
            None if norm <= own => radius,
            None => 0.0,
        }
    }

    /// Number of values of an input, if known.
    pub fn values(&self) -> Option<usize> {
        self.data.as_ref().and_then(DataSource::values)
    }

    /// Applies `mean` to each norm and collects the results; `None` if the size of the inputs is not known.
    pub(super) fn mean_radii(&self, mean: impl Fn(Norm) -> f64) -> Option<Radii> {
        self.values().map(|_| Radii { l1: mean(Norm::L1), l2: mean(Norm::L2), linf: mean(Norm::Linf) })
    }
}

/// Note about σ in units of the model's input, if these differ from those of the data set.
fn units_note(sigma_in_model: &[f64]) -> Option<String> {
    let texts: Vec<String> = sigma_in_model.iter().map(|sigma| format!("{sigma:.4}")).collect();
    let first = texts.first()?;
    let values = if texts.iter().all(|text| text == first) { first.clone() } else { texts.join(", ") };
    Some(format!("sigma and radii are in units of the data set; to the model, sigma is {values}"))
}

/// Note about shared noise.
fn shared_note(mode: NoiseMode) -> Option<String> {
    (mode == NoiseMode::Shared).then(|| {
        "its inputs share their noise, so that certificates may be wrong together: high-probability certified accuracy is \
         computed by Markov's inequality, and intervals cover the choice of inputs but not the choice of noise"
            .into()
    })
}

/// Note about a recertification.
fn earlier_note(from: Option<&Recertification>) -> Option<String> {
    from.map(|from| {
        format!(
            "its bounds are based on those of the earlier run {:.16}…, which is not read here: `rscert verify --from` checks them",
            from.from
        )
    })
}

/// Sum of the votes for nobody over all records. It saturates, since counts in a file may be arbitrary.
fn votes_for_nobody(records: &[Record]) -> Nobody {
    let votes = records.iter().flat_map(|record| [&record.selection, &record.estimation]);
    votes.fold(Nobody::default(), |mut sum, votes| {
        sum.add(votes.nobody());
        sum
    })
}

/// Note about votes for nobody, by reason.
fn nobody_note(Nobody { ties, infinite, not_a_number }: Nobody) -> Option<String> {
    let reasons =
        [(ties, "by a tie"), (infinite, "by an infinite logit"), (not_a_number, "by a logit that is NaN")];
    let reasons: Vec<String> = reasons
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, reason)| format!("{count} {reason}"))
        .collect();
    (!reasons.is_empty())
        .then(|| format!("votes for nobody, which count against every class: {}", reasons.join(", ")))
}

/// Note about the mean number of samples of a stopping rule other than `fixed`.
fn stopping_note(settings: &Settings, records: &[Record]) -> Option<String> {
    let samples = records.iter().fold(0_u64, |sum, record| sum.saturating_add(record.samples));
    let mean = samples as f64 / records.len().max(1) as f64;
    let reason = settings.stop.reason()?;
    Some(format!("stopping rule {}, {reason}: {mean:.0} samples per input on average", settings.stop))
}

/// Note about inputs without a label.
fn labels_note(outcomes: &[Outcome]) -> Option<String> {
    let unknown = outcomes.iter().filter(|outcome| outcome.label.is_none()).count();
    match (unknown, outcomes.len() - unknown) {
        (0, _) => None,
        (_, 0) => Some(
            "no true class is known, so it is not known whether the certified classes are correct".into(),
        ),
        (unknown, known) => Some(format!(
            "the true classes of {unknown} inputs are not known: ACR and accuracy are those of the other {known}"
        )),
    }
}

/// Note about a radius in a table that is larger than n samples can prove at level α.
fn ceiling_note(table: &Table, sigma: Sigma, alpha: Alpha, n: u64) -> Option<String> {
    let bound = clopper_pearson_lower(n, n, alpha).ok()?;
    let ceiling = certified_radius(bound, sigma).unwrap_or(0.0);
    let largest =
        table.rows.iter().filter(|row| row.class.is_some()).max_by(|a, b| a.radius.total_cmp(&b.radius))?;
    // Radii in a table may have been rounded to nearest, so half a unit of the last digit is allowed.
    (largest.radius - largest.unit / 2.0 > ceiling).then(|| {
        format!(
            "its largest radius {} (input {}) is above {ceiling:.4}, the largest radius that {n} samples can prove at alpha {alpha} \
             and sigma {sigma}: it was made with another alpha, n or sigma, or is wrong",
            largest.radius, largest.index
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::parse_table;

    fn run(radius: &str, alpha: f64) -> Run {
        let text = format!("idx\tlabel\tpredict\tradius\tcorrect\ttime\n0\t1\t1\t{radius}\t1\t0:00:01\n");
        let table = parse_table(&text).unwrap();
        let sigma = Some(Sigma::new(0.25).unwrap());
        Run::of_table("t", &table, TableSettings { sigma, alpha: Alpha::new(alpha).unwrap(), n: 100_000 })
    }

    #[test]
    fn sigma_in_units_of_the_model_is_said() {
        assert_eq!(units_note(&[]), None);
        assert!(units_note(&[0.5, 0.5]).unwrap().ends_with("sigma is 0.5000"));
        assert!(units_note(&[0.5, 0.25]).unwrap().ends_with("sigma is 0.5000, 0.2500"));
    }

    #[test]
    fn votes_for_nobody_are_said_by_reason() {
        assert_eq!(nobody_note(Nobody::default()), None);
        let votes = Nobody { ties: 3, not_a_number: 1, ..Nobody::default() };
        let text = nobody_note(votes).unwrap();
        assert!(text.ends_with("every class: 3 by a tie, 1 by a logit that is NaN"), "{text}");
    }

    #[test]
    fn a_radius_above_the_ceiling_betrays_another_alpha() {
        // 100,000 unanimous samples prove 3.8115 σ = 0.95288 at α 0.001, and more at a larger one.
        assert_eq!(run("0.9528", 0.001).notes.len(), 1);
        assert_eq!(run("0.953", 0.001).notes.len(), 1, "rounded to nearest");
        let notes = run("0.978", 0.001).notes;
        assert!(notes[1].starts_with("its largest radius 0.978 (input 0) is above 0.952"), "{notes:?}");
        assert_eq!(run("0.978", 0.01).notes.len(), 1);
        assert!(run("1e1", 0.001).notes[1].starts_with("its largest radius 10 (input 0) is above"));
    }
}
