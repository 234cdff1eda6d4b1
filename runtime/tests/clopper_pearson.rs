//! Clopper–Pearson bounds and radii against values of 40 digits; `fixtures/clopper_pearson.py` wrote them.

use mithridate_runtime::{
    statistics::{certified_radius, clopper_pearson_lower},
    units::{Alpha, Sigma},
};

/// dΦ⁻¹/dp at ½, √(2π) rounded up: what an error of p just above ½ is worth in the quantile.
const SLOPE_AT_HALF: f64 = 2.506_7;

struct Row {
    n: u64,
    k: u64,
    alpha: Alpha,
    /// Decimals, the bounds rounded down and the complement up.
    p_lower: &'static str,
    one_minus_p: &'static str,
    quantile: Option<&'static str>,
}

impl Row {
    fn parse(line: &'static str) -> Option<Self> {
        let mut cells = line.split(',');
        Some(Self {
            n: cells.next()?.parse().ok()?,
            k: cells.next()?.parse().ok()?,
            alpha: cells.next()?.parse().ok()?,
            p_lower: cells.next()?,
            one_minus_p: cells.next()?,
            quantile: cells.next().filter(|cell| !cell.is_empty()),
        })
    }

    fn name(&self) -> String {
        format!("n {} k {} alpha {}", self.n, self.k, self.alpha)
    }
}

fn rows() -> impl Iterator<Item = Row> {
    include_str!("fixtures/clopper_pearson.csv")
        .lines()
        .skip(1)
        .map(|line| Row::parse(line).unwrap_or_else(|| panic!("fixture has a bad row: {line}")))
}

/// Whether `value` is at most `decimal`, both in \[0, 10), with no rounding on either side.
///
/// Parsing `decimal` could round it up past a `value` that is too large. Every f64 has a finite decimal expansion of
/// at most 1074 places, and two decimals with one digit before the point have the order of their text, if the
/// first has no zeros at its end.
fn at_most(value: f64, decimal: &str) -> bool {
    assert!((0.0..10.0).contains(&value) && decimal.as_bytes()[1] == b'.', "{value} {decimal}");
    format!("{value:.1074}").trim_end_matches('0') <= decimal
}

/// A nearest f64, good enough where half a unit in the last place does not matter.
fn near(decimal: &str) -> f64 {
    decimal.parse().unwrap_or(f64::NAN)
}

#[test]
fn comparison_with_decimals_is_exact() {
    // 0.1_f64 is 0.1000000000000000055511151231257827…
    assert!(!at_most(0.1, "0.1000000000000000055511151231257827"));
    assert!(at_most(0.1, "0.1000000000000000055511151231257828"));
    assert!(!at_most(0.1, "0.1000000000000000000000000000000000"));
    assert!(at_most(0.5, "0.5000") && at_most(2.0, "2.000") && at_most(0.0, "0.000"));
    assert!(!at_most(0.5_f64.next_up(), "0.5000000000000000000000000000000000"));
    assert!(at_most(f64::from_bits(1), "0.0000000001"));
}

#[test]
fn bounds_are_just_below_the_true_ones() {
    for row in rows() {
        let bound = clopper_pearson_lower(row.k, row.n, row.alpha).unwrap();
        let (name, truth) = (row.name(), row.p_lower);
        assert!(at_most(bound, truth), "{name}: {bound} is above {truth}");
        // 1 − bound is exact from ½ on, and keeps the digits that a bound near 1 has lost.
        let (p, q) = (near(row.p_lower), near(row.one_minus_p));
        let slack = if bound < 0.5 { p - bound } else { (1.0 - bound) - q };
        let allowed = 1e-9 * p.min(q) + 2.0 * (p.next_up() - p);
        assert!(slack <= allowed, "{name}: {bound} is {slack:e} below {truth}");
    }
}

#[test]
fn radii_are_just_below_the_true_ones() {
    let unit = Sigma::new(1.0).unwrap();
    for row in rows() {
        let bound = clopper_pearson_lower(row.k, row.n, row.alpha).unwrap();
        let (name, radius) = (row.name(), certified_radius(bound, unit));
        let Some(truth) = row.quantile else {
            assert_eq!(radius, None, "{name}: a radius for a bound of {}", row.p_lower);
            continue;
        };
        let radius = radius.unwrap_or_else(|| panic!("{name}: no radius, and it should be {truth}"));
        assert!(at_most(radius, truth), "{name}: {radius} is above {truth}");
        // Just above ½ the quantile has a large relative error from a small one of the bound.
        let (z, gap) = (near(truth), near(row.p_lower).next_up() - bound);
        let (slack, allowed) = (z - radius, 1e-8 * z + SLOPE_AT_HALF * gap);
        assert!(slack <= allowed, "{name}: {radius} is {slack:e} below {truth}");
    }
}

#[test]
fn the_largest_number_of_trials_finishes() {
    let trials = 100_000_000;
    let largest: Vec<_> = rows().filter(|row| row.n == trials).collect();
    assert!(largest.len() > 50);
    for row in largest {
        let bound = clopper_pearson_lower(row.k, row.n, row.alpha).unwrap();
        assert!(bound > 0.0 && bound < 1.0, "{}: {bound}", row.name());
    }
}
