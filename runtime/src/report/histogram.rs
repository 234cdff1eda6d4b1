use std::fmt::Write;

use super::{
    COLOURS,
    label::{Label, tenth},
    scale::{Scale, round_up},
};

/// A histogram of whole numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Name and unit of the numbers.
    pub x_label: String,
    /// Name of the vertical axis.
    pub y_label: String,
    /// Consecutive numbers in ascending order, each with its share from 0 to 1.
    pub shares: Vec<(i64, f64)>,
}

impl Histogram {
    /// Draws the histogram with the origin of its axes at (`left`, `bottom`). Returns SVG code and labels. The bar of 0
    /// is grey.
    pub(super) fn draw(&self, left: f64, bottom: f64, width: f64, height: f64) -> (String, Vec<Label>) {
        let (first, last) = match (self.shares.first(), self.shares.last()) {
            (Some(first), Some(last)) => (first.0 as f64, last.0 as f64),
            _ => (0.0, 0.0),
        };
        let largest = self.shares.iter().fold(0.0_f64, |most, &(_, share)| most.max(100.0 * share));
        let x = Scale { from: first - 0.5, to: last + 0.5, start: left, end: left + width };
        let y = Scale { from: 0.0, to: round_up(largest), start: bottom, end: bottom - height };
        let (mut marks, mut labels) = (String::new(), Vec::new());
        for tick in y.ticks_at_most(5) {
            let at = tenth(tick.at);
            let _ = writeln!(marks, "<path d=\"M{left} {at}h{width}\" stroke=\"#e3e5e9\"/>");
            let label = format!("{} %", tick.label);
            labels.push(Label::new(left - 8.0, at + 4.0, "end", 11.0, &label).soft());
        }
        let step = width / (last - first + 1.0);
        for &(number, share) in &self.shares {
            let top = y.place(100.0 * share);
            let colour = if number == 0 { "#8a9099" } else { COLOURS[0] };
            let _ = writeln!(
                marks,
                "<rect x=\"{:.2}\" y=\"{top:.2}\" width=\"{:.2}\" height=\"{:.2}\" fill=\"{colour}\"/>",
                x.place(number as f64) - 0.42 * step,
                0.84 * step,
                bottom - top
            );
        }
        let _ = writeln!(marks, "<path d=\"M{left} {bottom}h{width}\" stroke=\"#8a9099\"/>");
        // At most as many ticks as numbers, so that every tick is a whole number.
        for tick in x.ticks_at_most(self.shares.len().min(12)) {
            labels.push(Label::new(tick.at, bottom + 15.0, "middle", 11.0, &tick.label).soft());
        }
        labels.push(Label::new(left + width / 2.0, bottom + 34.0, "middle", 13.0, &self.x_label));
        labels.push(Label::new(left, bottom - height - 10.0, "start", 13.0, &self.y_label));
        (marks, labels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_high_as_shares() {
        let shares = vec![(-1, 0.25), (0, 0.5), (1, 0.25)];
        let histogram = Histogram { x_label: "change".into(), y_label: "share".into(), shares };
        let (marks, labels) = histogram.draw(50.0, 200.0, 300.0, 100.0);
        let heights: Vec<&str> = marks
            .split("<rect")
            .skip(1)
            .map(|bar| bar.split_once("height=\"").unwrap().1.split_once('"').unwrap().0)
            .collect();
        assert_eq!(heights, ["50.00", "100.00", "50.00"]);
        let texts: Vec<&str> = labels.iter().map(|label| label.text.as_str()).collect();
        assert!(texts.contains(&"−1") && texts.contains(&"50 %") && texts.contains(&"change"), "{texts:?}");
    }
}
