use mithridate_runtime::report::{PanelGrid, Plane, PlanePoint};

use super::{BoundarySettings, Case, Certification, TARGET};
use crate::{Error, networks::Architecture};

/// Number of test points whose certified radii are drawn.
const CIRCLES: usize = 5;

/// The picture of all cases side by side, clean above poisoned, as an SVG element.
///
/// # Errors
/// [`Error::Figure`].
pub fn picture(cases: &[Case], settings: &BoundarySettings) -> Result<String, Error> {
    let panels = cases.iter().map(clean).chain(cases.iter().map(poisoned)).collect();
    let BoundarySettings { sigma, epsilon, points, method, seed } = settings;
    PanelGrid {
        title: "Poison moves the boundary towards the class that it is made from".into(),
        columns: cases.len(),
        panels,
        caption: format!(
            "Training method {method}, σ = {sigma}, {points} points of each class. The attacker moves the training \
             points of class {TARGET}, no coordinate by more than ε = {epsilon}, and no label; the networks of the \
             lower row are trained on them from scratch. Colour: probability under the smoothed classifier. Circles: \
             certified ℓ₂ radii of {CIRCLES} of {points} test points, which are not moved, by Cohen's procedure with \
             α = 0.001. ACR: average certified radius of all of them. Seed {seed}."
        ),
    }
    .to_svg()
    .map_err(|error| Error::Figure(error.to_string()))
}

fn clean(case: &Case) -> Plane {
    let training = case.target.iter().map(|&at| point(at, TARGET));
    let caption = format!("ACR {:.2}", case.clean.acr());
    panel(case, "clean", &case.clean, training.collect(), caption)
}

fn poisoned(case: &Case) -> Plane {
    let training = case
        .target
        .iter()
        .zip(&case.poison)
        .map(|(&from, &to)| PlanePoint { poisoned_from: (from != to).then_some(from), ..point(to, TARGET) });
    let change = 100.0 * -case.drop();
    let caption = format!("ACR {:.2} → {:.2} ({change:+.0} %)", case.clean.acr(), case.poisoned.acr());
    let caption = caption.replace('-', "−");
    let plane = panel(case, "poisoned", &case.poisoned, training.collect(), caption);
    Plane { clean_field: Some(case.clean.field.clone()), ..plane }
}

fn panel(
    case: &Case,
    what: &str,
    certification: &Certification,
    target: Vec<PlanePoint>,
    caption: String,
) -> Plane {
    let network = match case.network {
        Architecture::Mlp => "MLP",
        other => other.name(),
    };
    let mut points: Vec<PlanePoint> = case.others.iter().map(|&at| point(at, 1 - TARGET)).collect();
    points.extend(target);
    points.extend(spread(&case.test, CIRCLES).into_iter().map(|number| {
        let circle = certification.right(number);
        PlanePoint { circle, wrong: circle.is_none(), ..point(case.test[number], TARGET) }
    }));
    let title = format!("{}, {network}: {what}", case.distribution.title());
    Plane {
        title: title[..1].to_uppercase() + &title[1..],
        caption,
        x_range: (0.0, 1.0),
        y_range: (0.0, 1.0),
        field: certification.field.clone(),
        clean_field: None,
        points,
    }
}

fn point((x, y): (f64, f64), class: usize) -> PlanePoint {
    PlanePoint { x, y, class, poisoned_from: None, circle: None, wrong: false }
}

/// Indices of points far from each other: first the one nearest the mean, then repeatedly the one farthest from all
/// chosen ones.
fn spread(points: &[(f64, f64)], count: usize) -> Vec<usize> {
    let total = points.len().max(1) as f64;
    let mean = points.iter().fold((0.0, 0.0), |sum, at| (sum.0 + at.0 / total, sum.1 + at.1 / total));
    let distance = |a: (f64, f64), b: (f64, f64)| (a.0 - b.0).hypot(a.1 - b.1);
    let nearest =
        (0..points.len()).min_by(|&a, &b| distance(points[a], mean).total_cmp(&distance(points[b], mean)));
    let mut chosen: Vec<usize> = nearest.into_iter().collect();
    while chosen.len() < count.min(points.len()) {
        let room = |number: usize| {
            chosen.iter().map(|&other| distance(points[number], points[other])).fold(f64::MAX, f64::min)
        };
        let Some(next) = (0..points.len()).max_by(|&a, &b| room(a).total_cmp(&room(b))) else { break };
        chosen.push(next);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_takes_the_middle_and_then_the_corners() {
        let mut points: Vec<(f64, f64)> =
            (0..9).flat_map(|x| (0..9).map(move |y| (f64::from(x), f64::from(y)))).collect();
        points.push((4.0, 4.1));
        let chosen: Vec<(f64, f64)> = spread(&points, 5).into_iter().map(|number| points[number]).collect();
        assert_eq!(chosen[0], (4.0, 4.0));
        for corner in [(0.0, 0.0), (0.0, 8.0), (8.0, 0.0), (8.0, 8.0)] {
            assert!(chosen.contains(&corner), "{chosen:?}");
        }
        assert_eq!(spread(&points[..3], 7).len(), 3);
        assert!(spread(&[], 7).is_empty());
    }
}
