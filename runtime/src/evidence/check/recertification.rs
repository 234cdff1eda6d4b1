//! Checks of a recertification that do not need the earlier run.

use statrs::function::beta::beta_reg;

use super::second_check::MOST_TRIALS;
use crate::{
    certify::{Decision, StoppingRule},
    evidence::{Change, Header, Recertification, Record},
    statistics::{MAX_TRIALS, StatisticsError, clopper_pearson_lower},
    units::Alpha,
};

/// Checks the terms of the recertification in the header.
pub(super) fn check_terms(header: &Header, from: &Recertification, add: &mut impl FnMut(String)) {
    let settings = &header.settings;
    let alpha = from.alpha.get() + from.alpha_change.get();
    if settings.alpha.get() != alpha {
        add(format!(
            "its alpha is {} and must be {alpha}: {} of the earlier run and {} for changes",
            settings.alpha, from.alpha, from.alpha_change
        ));
    }
    if settings.seed == from.seed {
        add(format!("its noise is not fresh: its seed {} is that of the earlier run", from.seed));
    }
    if !(1..=MAX_TRIALS).contains(&from.n) || !(1..=from.n).contains(&from.replayed) {
        add(format!(
            "its number of replayed samples is {}, and the earlier run has {} samples of an input",
            from.replayed, from.n
        ));
    }
    if settings.stop != StoppingRule::Fixed {
        add(format!("its stopping rule is {}; a recertification has the stopping rule fixed", settings.stop));
    }
    if header.keeps_votes {
        add("it states that it keeps votes, and a recertification keeps none".into());
    }
    if header.shard.is_some() {
        add("it is a part of a run, and a recertification has no parts".into());
    }
    if header.simultaneous.is_some() {
        add("it makes a claim about all inputs at once, and a recertification can't make such a claim".into());
    }
}

/// Limits of the number of votes for the class among the first n′ estimation samples of the earlier run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::evidence) struct ReplayedHits {
    pub least: u64,
    pub most: u64,
}

impl ReplayedHits {
    /// The limits if `hits` of all n samples of the earlier run voted for the class.
    pub fn of(hits: u64, from: &Recertification) -> Self {
        let misses = from.n.saturating_sub(hits);
        Self { least: from.replayed.saturating_sub(misses), most: hits.min(from.replayed) }
    }

    /// Calls `add` if the votes for the class in `record` are impossible, given these earlier votes and the numbers of
    /// lost and changed votes.
    pub fn check(self, record: &Record, change: &Change, mut add: impl FnMut(String)) {
        let hits = hits(record);
        let most = hits.saturating_add(change.lost);
        let least = most.saturating_sub(change.changed.saturating_sub(change.lost));
        if most < self.least || least > self.most {
            let Change { lost, changed, .. } = change;
            add(format!(
                "its class has {hits} votes after {changed} changed and {lost} were lost; the earlier run had {} to {} \
                 votes for this class among these samples",
                self.least, self.most
            ));
        }
    }
}

/// Estimation votes for the class that the selection samples selected.
fn hits(record: &Record) -> u64 {
    let class = record.selection.winner();
    class.and_then(|class| record.estimation.by_class().get(class)).copied().unwrap_or(0)
}

/// Checks that some number of votes of n samples gives the earlier bound, and that the recorded votes are possible
/// after it.
pub(super) fn check_change(
    record: &Record,
    from: &Recertification,
    change: &Change,
    add: &mut impl FnMut(String),
) {
    match hits_behind(change.p_lower, from.n, from.alpha) {
        Some(hits) => ReplayedHits::of(hits, from).check(record, change, add),
        None => add(format!(
            "no number of votes among {1} samples gives the bound {0} of the earlier run at alpha {2}",
            change.p_lower, from.n, from.alpha
        )),
    }
}

/// The number of hits in n samples whose Clopper–Pearson bound at level `alpha` is `p_lower`, if there is one.
fn hits_behind(p_lower: f64, n: u64, alpha: Alpha) -> Option<u64> {
    if p_lower == 0.0 {
        return Some(0);
    }
    if !(p_lower > 0.0 && p_lower < 1.0) {
        return None;
    }
    // At the bound p for k hits, P[X ≥ k] = I_p(k, n − k + 1) equals α. This decreases in k and is much cheaper to
    // compute than the bound, but for very large n it is not accurate enough.
    let is_bound = |hits: u64| {
        if n <= MOST_TRIALS {
            beta_reg(hits as f64, (n - hits) as f64 + 1.0, p_lower) <= alpha.get() * (1.0 + 1e-6)
        } else {
            clopper_pearson_lower(hits, n, alpha).is_ok_and(|bound| bound >= p_lower)
        }
    };
    let (mut least, mut most) = (1, n);
    while least < most {
        let middle = u64::midpoint(least, most);
        if is_bound(middle) { most = middle } else { least = middle + 1 }
    }
    (least.saturating_sub(2).max(1)..=least.saturating_add(2).min(n))
        .find(|&hits| clopper_pearson_lower(hits, n, alpha) == Ok(p_lower))
}

/// Recomputes class, bound and radius of a record from the earlier bound and its change.
pub(super) fn decide(
    record: &Record,
    header: &Header,
    from: &Recertification,
    change: &Change,
) -> Result<Decision, StatisticsError> {
    let samples = record.samples;
    if samples != from.replayed {
        return Err(StatisticsError::NotAMoment { samples });
    }
    // A lost sample does not vote for the class now, and its vote changed.
    let misses = samples.saturating_sub(hits(record));
    if change.lost > change.changed || change.changed > samples || change.lost > misses {
        return Err(StatisticsError::MoreHitsThanTrials {
            hits: change.changed.max(change.lost),
            trials: samples,
        });
    }
    let p_lower = change.bound(samples, from.alpha_change)?;
    Ok(Decision { class: record.selection.winner(), p_lower, radius: header.settings.radius(p_lower) })
}

/// Checks that the choice between the earlier bound and fresh samples follows from the selection votes.
pub(super) fn check_route(record: &Record, header: &Header, add: &mut impl FnMut(String)) {
    let class = record.selection.winner();
    let hits = class.map_or(0, |class| record.selection.by_class()[class]);
    match &record.change {
        Some(_) if header.challenge.is_some() => {
            add("its bound is based on noise that was known before its challenge; under a challenge, it needs fresh samples"
                .into());
        }
        change if header.is_incremental(hits) != change.is_some() => {
            let should = if change.is_some() { "fresh samples" } else { "the earlier bound" };
            add(format!("by its selection votes, its certificate must be based on {should}"));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_tells_the_votes_behind_it_and_an_invented_one_none() {
        for (n, steps) in
            [(1_u64, 1), (7, 7), (1000, 1000), (100_000, 40), (10_000_000, 10), (1_000_000_000, 1)]
        {
            for hits in (0..=steps).map(|step| step * n / steps) {
                let bound = clopper_pearson_lower(hits, n, Alpha::USUAL).unwrap();
                assert_eq!(hits_behind(bound, n, Alpha::USUAL), Some(hits), "{hits} of {n}");
            }
        }
        let bound = clopper_pearson_lower(990, 1000, Alpha::USUAL).unwrap();
        for invented in [bound.next_up(), 0.999_9, 1.0, 7.0, -0.1, f64::NAN] {
            assert_eq!(hits_behind(invented, 1000, Alpha::USUAL), None, "{invented}");
        }
    }

    #[test]
    fn hits_of_the_first_samples_lie_between_all_misses_before_and_after() {
        let from = Recertification {
            from: String::new(),
            from_model_sha256: String::new(),
            alpha: Alpha::USUAL,
            alpha_change: Alpha::USUAL,
            seed: 1,
            n: 1000,
            replayed: 100,
        };
        assert_eq!(ReplayedHits::of(990, &from), ReplayedHits { least: 90, most: 100 });
        assert_eq!(ReplayedHits::of(40, &from), ReplayedHits { least: 0, most: 40 });
    }
}
