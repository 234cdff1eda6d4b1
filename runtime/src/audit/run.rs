use crate::{
    certify::{Nobody, Settings, StoppingRule},
    evidence::{DataSource, Evidence, Recertification, Record, Table},
    noise::{Distribution, NoiseMode},
    statistics::{Norm, Radii, certified_radius, clopper_pearson_lower},
    units::{Alpha, Sigma},
};

/// A run to be audited, from whatever kind of file.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Its name, that of the file.
    pub name: String,
    /// Name of the model's file, if known.
    pub model: Option<String>,
    /// Noise level, if known.
    pub sigma: Option<Sigma>,
    /// What the noise is distributed as.
    pub noise: Distribution,
    /// Which inputs had which noise, if known. Certificates of inputs that share it may be wrong together.
    pub noise_mode: Option<NoiseMode>,
    /// Votes of all samples for nobody, if known.
    pub nobody: Option<Nobody>,
    /// Probability that one certificate is wrong.
    pub alpha: Alpha,
    /// Probability that any certificate is wrong, if the claim is about all at once.
    pub family_alpha: Option<Alpha>,
    /// Samples behind each bound, if known.
    pub n: Option<u64>,
    /// The data, if known.
    pub data: Option<DataSource>,
    /// What came of each input, in order.
    pub outcomes: Vec<Outcome>,
    /// What a reader should know of the run.
    pub notes: Vec<String>,
}

/// What came of one input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Index in the data set.
    pub index: u64,
    /// True class, if known.
    pub label: Option<usize>,
    /// Certified class; none for an abstention.
    pub class: Option<usize>,
    /// Certified radius in the norm of the noise; 0 for an abstention.
    pub radius: f64,
}

impl Outcome {
    fn of(record: &Record) -> Self {
        let &Record { index, label, class, abstained, radius, .. } = record;
        Self { index, label, class: class.filter(|_| !abstained), radius }
    }

    /// Whether the certified class is known to be the true one.
    pub fn is_right(&self) -> bool {
        self.class.is_some() && self.class == self.label
    }
}

/// What a table of the field does not say of itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TableSettings {
    /// Noise level, if known.
    pub sigma: Option<Sigma>,
    /// Probability that a certificate is wrong.
    pub alpha: Alpha,
    /// Samples behind each bound.
    pub n: u64,
}

impl Default for TableSettings {
    /// No noise level, and the usual α = 0.001 and n = 100,000.
    fn default() -> Self {
        Self { sigma: None, alpha: Alpha::USUAL, n: 100_000 }
    }
}

impl Run {
    /// A run with evidence.
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

    /// A run of which there is only a table of the field, made with Gaussian noise. Nothing in it can be checked, but that
    /// no radius is above what n samples can prove at α; one that is betrays another α or n.
    pub fn of_table(name: &str, table: &Table, settings: TableSettings) -> Self {
        let TableSettings { sigma, alpha, n } = settings;
        let mut notes = vec![format!(
            "from a table, of which nothing can be checked; alpha {alpha} and n {n} are what was said of it, and that each \
             input had noise of its own is assumed"
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

    /// Radius of an outcome in a norm where its class is right, else 0; as [`radius`](Self::radius).
    pub(super) fn right_radius(&self, outcome: &Outcome, norm: Norm) -> f64 {
        if outcome.is_right() { self.radius(outcome, norm) } else { 0.0 }
    }

    /// Radius of an outcome in a norm. In ℓ∞ it is known only if the size of the inputs is, and 0 otherwise.
    pub(super) fn radius(&self, outcome: &Outcome, norm: Norm) -> f64 {
        let (own, radius) = (self.noise.norm(), outcome.radius);
        match self.values() {
            Some(values) => own.derive(radius, norm, values),
            None if norm <= own => radius,
            None => 0.0,
        }
    }

    /// Values of an input, if known.
    pub fn values(&self) -> Option<usize> {
        self.data.as_ref().and_then(DataSource::values)
    }

    /// The mean over all inputs of the radius in each norm; none if the size of the inputs is not known.
    pub(super) fn mean_radii(&self, mean: impl Fn(Norm) -> f64) -> Option<Radii> {
        self.values().map(|_| Radii { l1: mean(Norm::L1), l2: mean(Norm::L2), linf: mean(Norm::Linf) })
    }
}

/// What σ is in the units of a model that wants other values than the data set has.
fn units_note(sigma_in_model: &[f64]) -> Option<String> {
    let texts: Vec<String> = sigma_in_model.iter().map(|sigma| format!("{sigma:.4}")).collect();
    let first = texts.first()?;
    let values = if texts.iter().all(|text| text == first) { first.clone() } else { texts.join(", ") };
    Some(format!("sigma and radii are in units of the data set; to the model, sigma is {values}"))
}

/// What noise that is shared by all inputs means for figures of several of them.
fn shared_note(mode: NoiseMode) -> Option<String> {
    (mode == NoiseMode::Shared).then(|| {
        "its inputs share their noise, so that certificates may be wrong together: accuracy that holds with high \
         probability is by Markov's inequality, and intervals are over the choice of inputs for the noise that was drawn"
            .into()
    })
}

/// What certificates for a changed model rest on.
fn earlier_note(from: Option<&Recertification>) -> Option<String> {
    from.map(|from| {
        format!(
            "its bounds rest on those of the earlier run {:.16}…, which is not read here: `rscert verify --from` checks them",
            from.from
        )
    })
}

/// Votes of all samples for nobody. What somebody else wrote may hold any number.
fn votes_for_nobody(records: &[Record]) -> Nobody {
    let votes = records.iter().flat_map(|record| [&record.selection, &record.estimation]);
    votes.fold(Nobody::default(), |mut sum, votes| {
        sum.add(votes.nobody());
        sum
    })
}

/// How many samples voted for nobody, and why.
fn nobody_note(Nobody { ties, infinite, not_a_number }: Nobody) -> Option<String> {
    let reasons =
        [(ties, "by a tie"), (infinite, "by an infinite logit"), (not_a_number, "by one that is no number")];
    let reasons: Vec<String> = reasons
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, reason)| format!("{count} {reason}"))
        .collect();
    (!reasons.is_empty())
        .then(|| format!("votes for nobody, which count against every class: {}", reasons.join(", ")))
}

/// How many samples a rule other than `fixed` took.
fn stopping_note(settings: &Settings, records: &[Record]) -> Option<String> {
    let samples = records.iter().fold(0_u64, |sum, record| sum.saturating_add(record.samples));
    let mean = samples as f64 / records.len().max(1) as f64;
    let holds = match settings.stop {
        StoppingRule::Fixed => return None,
        StoppingRule::Loss(_) => "chosen from the selection votes",
        _ => "bounds that hold whenever sampling stops",
    };
    Some(format!("stopping rule {}, {holds}: {mean:.0} samples an input on average", settings.stop))
}

/// How many inputs tell nothing of accuracy.
fn labels_note(outcomes: &[Outcome]) -> Option<String> {
    let unknown = outcomes.iter().filter(|outcome| outcome.label.is_none()).count();
    match (unknown, outcomes.len() - unknown) {
        (0, _) => None,
        (_, 0) => Some("no true class is known: whether what was certified is right can't be said".into()),
        (unknown, known) => Some(format!(
            "the true classes of {unknown} inputs are not known: ACR and accuracy are those of the other {known}"
        )),
    }
}

/// What a radius above the greatest possible one says.
fn ceiling_note(table: &Table, sigma: Sigma, alpha: Alpha, n: u64) -> Option<String> {
    let bound = clopper_pearson_lower(n, n, alpha).ok()?;
    let ceiling = certified_radius(bound, sigma).unwrap_or(0.0);
    let largest =
        table.rows.iter().filter(|row| row.class.is_some()).max_by(|a, b| a.radius.total_cmp(&b.radius))?;
    // A table may have been rounded to nearest.
    (largest.radius - largest.unit / 2.0 > ceiling).then(|| {
        format!(
            "its largest radius {} (input {}) is above {ceiling:.4}, the most that {n} samples prove at alpha {alpha} \
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
        assert!(text.ends_with("every class: 3 by a tie, 1 by one that is no number"), "{text}");
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
