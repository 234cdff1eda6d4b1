use std::fmt::Write;

use super::{
    CLASS_COLOURS, Plane,
    drawing::{cross, marker},
};
use crate::report::label::{INK, Label, tenth, text_width};

/// Size of text.
const SIZE: f64 = 13.0;
/// Room for a symbol.
const SYMBOL: f64 = 22.0;
/// Height of a line.
const HEIGHT: f64 = 24.0;

/// What the marks that occur in any of the panels mean: marks, labels, and the height they take.
pub(super) fn legend(panels: &[Plane], left: f64, top: f64, width: f64) -> (String, Vec<Label>, f64) {
    let points = || panels.iter().flat_map(|plane| &plane.points);
    let entries: [(bool, &str, Symbol); 6] = [
        (true, "class 0", |x, y| marker(x, y, 4.5, 0, false)),
        (true, "class 1", |x, y| marker(x, y, 4.5, 1, false)),
        (true, "decision boundary", |x, y| {
            let (x, y) = (tenth(x), tenth(y));
            format!("<path d=\"M{} {y}h18\" stroke=\"{INK}\" stroke-width=\"2.4\"/>", x - 9.0)
        }),
        (points().any(|point| point.poisoned_from.is_some()), "moved by the attacker", |x, y| {
            let (from, to) = (tenth(x - 9.0), tenth(x + 5.0));
            let line =
                format!("<path d=\"M{from} {}L{to} {}\" stroke=\"{INK}\"/>", tenth(y + 4.0), tenth(y - 2.0));
            line + &marker(x + 5.0, y - 2.0, 4.0, 1, true)
        }),
        (points().any(|point| point.circle.is_some()), "certified radius of a test point", |x, y| {
            let (x, y, colour) = (tenth(x), tenth(y), CLASS_COLOURS[0]);
            format!(
                "<circle cx=\"{x}\" cy=\"{y}\" r=\"8\" fill=\"{colour}\" fill-opacity=\"0.1\" stroke=\"{colour}\"/>\
                 <circle cx=\"{x}\" cy=\"{y}\" r=\"1.6\" fill=\"{colour}\"/>"
            )
        }),
        (points().any(|point| point.wrong), "wrong or no answer", |x, y| cross(x, y, 4.5, 1)),
    ];
    let (mut marks, mut labels) = (String::new(), Vec::new());
    let (mut x, mut y) = (left, top + 10.0);
    for (_, name, symbol) in entries.into_iter().filter(|(occurs, ..)| *occurs) {
        let room = SYMBOL + text_width(name, SIZE) + 16.0;
        if x + room > left + width + 16.0 && x > left {
            (x, y) = (left, y + HEIGHT);
        }
        let _ = write!(marks, "{}", symbol(x + 9.0, y));
        labels.push(Label::new(x + SYMBOL + 2.0, y + 4.5, "start", SIZE, name));
        x += room;
    }
    (marks, labels, y + HEIGHT - top)
}

/// Draws a symbol about a point.
type Symbol = fn(f64, f64) -> String;
