use std::fmt::Write;

use super::{
    CLASS_COLOURS, Plane, PlanePoint,
    drawing::{cross, marker},
};
use crate::report::label::{INK, Label, tenth, text_width};

/// Font size.
const SIZE: f64 = 13.0;
/// Width of a symbol.
const SYMBOL: f64 = 22.0;
/// Gap after a name.
const GAP: f64 = 16.0;
/// Height of a line.
const HEIGHT: f64 = 24.0;

/// The legend of all marks that occur in the panels: SVG code, labels, and its height.
pub(super) fn legend(panels: &[Plane], left: f64, top: f64, width: f64) -> (String, Vec<Label>, f64) {
    let first = |shows: fn(&PlanePoint) -> bool| {
        let mut points = panels.iter().flat_map(|plane| &plane.points);
        points.find(|point| shows(point)).map(|point| point.class)
    };
    // Each entry starts with the class whose colour its symbol has, or `None` if the mark does not occur.
    let entries: [(Option<usize>, &str, Symbol); 7] = [
        (Some(0), "class 0", |x, y, class| marker(x, y, 4.5, class, false)),
        (Some(1), "class 1", |x, y, class| marker(x, y, 4.5, class, false)),
        (Some(0), "decision boundary", |x, y, _| {
            let (x, y) = (tenth(x), tenth(y));
            format!("<path d=\"M{} {y}h18\" stroke=\"{INK}\" stroke-width=\"2.4\"/>", x - 9.0)
        }),
        (panels.iter().any(|plane| plane.clean_field.is_some()).then_some(0), "without poison", |x, y, _| {
            let (x, y) = (tenth(x), tenth(y));
            format!(
                "<path d=\"M{} {y}h18\" stroke=\"{INK}\" stroke-width=\"1.8\" stroke-dasharray=\"5 3\"/>",
                x - 9.0
            )
        }),
        (first(|point| point.poisoned_from.is_some()), "moved by the attacker", |x, y, class| {
            let (from, to) = (tenth(x - 9.0), tenth(x + 5.0));
            let line =
                format!("<path d=\"M{from} {}L{to} {}\" stroke=\"{INK}\"/>", tenth(y + 4.0), tenth(y - 2.0));
            line + &marker(x + 5.0, y - 2.0, 4.0, class, true)
        }),
        (first(|point| point.circle.is_some()), "certified radius", |x, y, class| {
            let (x, y, colour) = (tenth(x), tenth(y), CLASS_COLOURS[class.min(1)]);
            format!(
                "<circle cx=\"{x}\" cy=\"{y}\" r=\"8\" fill=\"{colour}\" fill-opacity=\"0.1\" stroke=\"{colour}\"/>\
                 <circle cx=\"{x}\" cy=\"{y}\" r=\"1.6\" fill=\"{colour}\"/>"
            )
        }),
        (first(|point| point.wrong), "wrong or no answer", |x, y, class| cross(x, y, 4.5, class)),
    ];
    let entries: Vec<(usize, &str, Symbol)> =
        entries.into_iter().filter_map(|(class, name, symbol)| Some((class?, name, symbol))).collect();
    let room = |name: &str| SYMBOL + text_width(name, SIZE) + GAP;
    let total: f64 = entries.iter().map(|(_, name, _)| room(name)).sum();
    // Balance the lengths of the lines.
    let fair = total / (total / (width + GAP)).ceil();
    let (mut marks, mut labels) = (String::new(), Vec::new());
    let (mut x, mut y) = (left, top + 10.0);
    for (class, name, symbol) in entries {
        let room = room(name);
        if x > left && (x + room > left + width + GAP || x + 0.5 * room > left + fair) {
            (x, y) = (left, y + HEIGHT);
        }
        let _ = write!(marks, "{}", symbol(x + 9.0, y, class));
        labels.push(Label::new(x + SYMBOL + 2.0, y + 4.5, "start", SIZE, name));
        x += room;
    }
    (marks, labels, y + HEIGHT - top)
}

/// Draws a symbol centred at (x, y) in the colour of a class.
type Symbol = fn(f64, f64, usize) -> String;
