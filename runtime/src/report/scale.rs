/// A linear scale: maps numbers to positions in a figure.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    /// Number at `start`.
    pub from: f64,
    /// Number at `end`.
    pub to: f64,
    /// Position of `from`, in pixels.
    pub start: f64,
    /// Position of `to`, in pixels.
    pub end: f64,
}

impl Scale {
    pub fn place(&self, value: f64) -> f64 {
        let share = (value - self.from) / (self.to - self.from);
        self.start + share * (self.end - self.start)
    }

    /// Ticks at round numbers, about five to ten of them.
    pub fn ticks(&self) -> Vec<Tick> {
        self.ticks_at_most(10)
    }

    /// Ticks at round numbers that divide the scale into at most `steps` steps.
    pub fn ticks_at_most(&self, steps: usize) -> Vec<Tick> {
        let step = round_step(self.to - self.from, steps);
        let decimals = (-step.log10().floor()).max(0.0) as usize;
        let first = (self.from / step).ceil() as i64;
        let last = (self.to / step + 1e-9).floor() as i64;
        (first..=last)
            .map(|i| {
                let value = i as f64 * step;
                Tick { at: self.place(value), label: format!("{value:.decimals$}").replace('-', "−") }
            })
            .collect()
    }
}

/// A labelled position on an axis.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick {
    pub at: f64,
    pub label: String,
}

/// The smallest of the numbers 1, 2, 5 × 10^k that divides `range` into at most `steps` steps.
fn round_step(range: f64, steps: usize) -> f64 {
    let raw = (range / steps.max(1) as f64).max(f64::MIN_POSITIVE);
    let power = 10_f64.powf(raw.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|&step| step >= raw * (1.0 - 1e-9))
        .unwrap_or(raw)
}

/// The smallest round number of at least `value`, for the upper end of an axis that starts at 0.
pub(super) fn round_up(value: f64) -> f64 {
    if value.is_nan() || value <= 0.0 {
        return 1.0;
    }
    let step = round_step(value, 10);
    (value / step - 1e-9).ceil() * step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers() {
        let scale = Scale { from: 0.0, to: 1.0, start: 0.0, end: 100.0 };
        let labels: Vec<String> = scale.ticks().into_iter().map(|tick| tick.label).collect();
        assert_eq!(labels, ["0.0", "0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9", "1.0"]);
        let scale_about_0 = Scale { from: -1.3, to: 2.1, start: 0.0, end: 100.0 };
        let labels: Vec<String> = scale_about_0.ticks_at_most(4).into_iter().map(|tick| tick.label).collect();
        assert_eq!(labels, ["−1", "0", "1", "2"]);
        assert_eq!(scale.place(0.25), 25.0);
        assert!((round_up(0.87) - 0.9).abs() < 1e-12);
        assert!((round_up(3.81) - 4.0).abs() < 1e-12);
        assert_eq!(round_up(f64::NAN), 1.0);
    }
}
