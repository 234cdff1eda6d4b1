use std::collections::BTreeMap;

use ndarray::Array2;

/// An edge of the grid: between a node (column, row) and its neighbour to the right, or above if `up`.
type Edge = (usize, usize, bool);

/// The contour lines of a field at `level`, by marching squares.
///
/// `field` (rows × columns) has the values at the nodes of a regular grid. Returns lines of points (column, row) in
/// units of the grid, interpolated linearly between nodes. A closed line ends with its first point. If two opposite
/// corners of a cell are above the level, the mean of its corners decides which crossings are joined. NaN counts as
/// below the level.
///
/// ```
/// use mithridate_runtime::report::contour;
/// use ndarray::array;
///
/// let lines = contour(&array![[0.0, 1.0], [0.0, 1.0]], 0.25);
/// assert_eq!(lines, [[(0.25, 0.0), (0.25, 1.0)]]);
/// ```
pub fn contour(field: &Array2<f64>, level: f64) -> Vec<Vec<(f64, f64)>> {
    let mut joined: BTreeMap<Edge, Vec<Edge>> = BTreeMap::new();
    let (rows, columns) = field.dim();
    for row in 0..rows.saturating_sub(1) {
        for column in 0..columns.saturating_sub(1) {
            for (a, b) in cell(field, level, column, row) {
                joined.entry(a).or_default().push(b);
                joined.entry(b).or_default().push(a);
            }
        }
    }
    let mut lines = Vec::new();
    // Open lines first, each from one of its ends; the rest are closed lines.
    while let Some(start) = joined
        .iter()
        .find(|(_, next)| next.len() == 1)
        .or_else(|| joined.iter().find(|(_, next)| !next.is_empty()))
        .map(|(&edge, _)| edge)
    {
        let mut line = vec![crossing(field, level, start)];
        let mut at = start;
        while let Some(next) = joined.get_mut(&at).and_then(Vec::pop) {
            if let Some(back) = joined.get_mut(&next)
                && let Some(position) = back.iter().position(|edge| *edge == at)
            {
                back.swap_remove(position);
            }
            line.push(crossing(field, level, next));
            at = next;
        }
        joined.retain(|_, next| !next.is_empty());
        lines.push(line);
    }
    lines
}

/// The segments of the contour in the cell above and to the right of a node, as pairs of edges.
fn cell(field: &Array2<f64>, level: f64, column: usize, row: usize) -> Vec<(Edge, Edge)> {
    let value = |right: usize, up: usize| field[(row + up, column + right)];
    let corners = [value(0, 0), value(1, 0), value(1, 1), value(0, 1)];
    let above = corners.map(|value| value >= level);
    // Counter-clockwise from the bottom, as the corners are.
    let edges =
        [(column, row, false), (column + 1, row, true), (column, row + 1, false), (column, row, true)];
    let crossed: Vec<Edge> =
        (0..4).filter(|&side| above[side] != above[(side + 1) % 4]).map(|side| edges[side]).collect();
    match crossed[..] {
        [a, b] => vec![(a, b)],
        [bottom, right, top, left] => {
            let middle = corners.iter().sum::<f64>() / 4.0 >= level;
            // The first corner is joined with the middle or separated from it.
            if middle == above[0] {
                vec![(bottom, right), (top, left)]
            } else {
                vec![(bottom, left), (right, top)]
            }
        }
        _ => Vec::new(),
    }
}

/// The point at which an edge crosses the level.
fn crossing(field: &Array2<f64>, level: f64, (column, row, up): Edge) -> (f64, f64) {
    let from = field[(row, column)];
    let to = if up { field[(row + 1, column)] } else { field[(row, column + 1)] };
    let share = ((level - from) / (to - from)).clamp(0.0, 1.0);
    let share = if share.is_nan() { 0.5 } else { share };
    let (x, y) = (column as f64, row as f64);
    if up { (x, y + share) } else { (x + share, y) }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::{PI, TAU};

    use super::*;

    fn sample(columns: usize, rows: usize, f: impl Fn(f64, f64) -> f64) -> Array2<f64> {
        Array2::from_shape_fn((rows, columns), |(row, column)| f(column as f64, row as f64))
    }

    #[test]
    fn a_circle_is_one_ring_of_its_radius_length_and_area() {
        let (centre, radius) = ((20.3, 17.8), 11.6);
        let distance = |x: f64, y: f64| (x - centre.0).hypot(y - centre.1);
        // A field that is not linear across the contour, like a probability.
        let field = sample(41, 37, |x, y| 1.0 / (1.0 + ((distance(x, y) - radius) / 3.0).exp()));
        let lines = contour(&field, 0.5);
        assert_eq!(lines.len(), 1);
        let ring = &lines[0];
        assert_eq!(ring.first(), ring.last());
        // Linear interpolation in a cell of side 1 errs by at most f''/(8 f') ≈ 1/(8 r) and a little for the logistic.
        for &(x, y) in ring {
            assert!((distance(x, y) - radius).abs() < 0.02, "({x}, {y})");
        }
        let length: f64 = ring.windows(2).map(|w| (w[1].0 - w[0].0).hypot(w[1].1 - w[0].1)).sum();
        assert!((length / (TAU * radius) - 1.0).abs() < 5e-3, "{length}");
        let area: f64 = ring.windows(2).map(|w| w[0].0 * w[1].1 - w[1].0 * w[0].1).sum::<f64>().abs() / 2.0;
        assert!((area / (PI * radius * radius) - 1.0).abs() < 5e-3, "{area}");
    }

    #[test]
    fn a_line_is_exact_and_goes_from_border_to_border() {
        // 0.3 x + 0.7 y = 4.1: the contour of a linear field is exact.
        let lines = contour(&sample(12, 9, |x, y| 0.3 * x + 0.7 * y - 4.1), 0.0);
        assert_eq!(lines.len(), 1);
        for &(x, y) in &lines[0] {
            assert!((0.3 * x + 0.7 * y - 4.1).abs() < 1e-12, "({x}, {y})");
        }
        let mut ends = [lines[0][0], lines[0][lines[0].len() - 1]];
        ends.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert_eq!(ends[0].0, 0.0);
        assert!((ends[0].1 - 4.1 / 0.7).abs() < 1e-12);
        assert_eq!(ends[1].0, 11.0);
        assert!((ends[1].1 - (4.1 - 3.3) / 0.7).abs() < 1e-12);
    }

    #[test]
    fn a_saddle_is_joined_by_the_mean_of_its_corners() {
        // Two corners at 1 on the diagonal; the mean of all is 0.5.
        let saddle = ndarray::array![[1.0, 0.0], [0.0, 1.0]];
        let ends = |level| {
            let mut pieces: Vec<Vec<(f64, f64)>> = contour(&saddle, level);
            for piece in &mut pieces {
                piece.sort_by(|a, b| a.partial_cmp(b).unwrap());
            }
            pieces.sort_by(|a, b| a.partial_cmp(b).unwrap());
            pieces
        };
        // The high corners are joined: the contour separates the low ones at (1, 0) and (0, 1).
        assert_eq!(ends(0.25), [[(0.0, 0.75), (0.25, 1.0)], [(0.75, 0.0), (1.0, 0.25)]]);
        // The high corners are not joined: the contour separates each of them, at (0, 0) and (1, 1).
        assert_eq!(ends(0.75), [[(0.0, 0.25), (0.25, 0.0)], [(0.75, 1.0), (1.0, 0.75)]]);
    }

    #[test]
    fn a_field_on_one_side_or_without_a_cell_has_no_contour() {
        assert!(contour(&sample(5, 5, |_, _| 0.7), 0.5).is_empty());
        assert!(contour(&sample(5, 1, |x, _| x), 0.5).is_empty());
        assert!(contour(&Array2::zeros((0, 0)), 0.5).is_empty());
        // NaN neither stops the computation nor appears in its result.
        let hole = sample(5, 5, |x, y| if (x, y) == (2.0, 2.0) { f64::NAN } else { 1.0 });
        assert!(contour(&hole, 0.5).iter().flatten().all(|(x, y)| x.is_finite() && y.is_finite()));
    }
}
