use super::*;

/// Class 1 above the line y = 0.5, on [0, 2] × [0, 1].
fn plane(points: Vec<PlanePoint>) -> Plane {
    let nodes = Plane::nodes((0.0, 2.0), (0.0, 1.0), 21, 11);
    let field = Array2::from_shape_vec((11, 21), nodes.iter().map(|node| node.1).collect()).unwrap();
    Plane {
        title: "a<b".into(),
        caption: "ACR 0.5".into(),
        x_range: (0.0, 2.0),
        y_range: (0.0, 1.0),
        field,
        clean_field: None,
        points,
    }
}

const POINT: PlanePoint =
    PlanePoint { x: 1.0, y: 0.5, class: 0, poisoned_from: None, circle: None, wrong: false };

/// The number of the first attribute `name` after `mark`.
fn number(svg: &str, mark: &str, name: &str) -> f64 {
    let rest = svg.split_once(mark).unwrap().1;
    let rest = rest.split_once(&format!(" {name}=\"")).unwrap().1;
    rest.split_once('"').unwrap().0.parse().unwrap()
}

#[test]
fn boundary_and_radius_are_drawn_to_scale() {
    let svg = plane(vec![PlanePoint { circle: Some(0.25), ..POINT }]).to_svg().unwrap();
    let [left, top, width, height] =
        ["x", "y", "width", "height"].map(|name| number(&svg, "<clipPath", name));
    assert!((width - 2.0 * height).abs() < 0.3, "one scale for both axes");
    let circle = svg.split_once("<circle cx").unwrap().1;
    let last = circle.rfind("fill-opacity=\"0.08\"").map(|at| &circle[..at]).unwrap();
    let drawn = &last[last.rfind("<circle").unwrap()..];
    assert!((number(drawn, "<circle", "cx") - (left + width / 2.0)).abs() < 0.2);
    assert!((number(drawn, "<circle", "cy") - (top + height / 2.0)).abs() < 0.2);
    assert!((number(drawn, "<circle", "r") - 0.25 * height).abs() < 0.2);
    // The boundary goes from the left to the right end at half the height.
    let middle = format!("{:.1}", top + height / 2.0);
    let boundary = svg.split("<path d=\"M").find(|path| path.contains("stroke-linejoin")).unwrap();
    let path = boundary.split_once('"').unwrap().0;
    let ends: Vec<&str> = path.split('L').collect();
    assert_eq!(ends.len(), 21);
    for end in [ends[0], ends[20]] {
        assert_eq!(end.split_once(' ').unwrap().1, middle);
    }
}

#[test]
fn only_marks_that_occur_are_explained_and_names_cannot_break_out() {
    let svg = plane(vec![POINT]).to_svg().unwrap();
    assert!(svg.contains("class 0") && svg.contains("decision boundary") && svg.contains("ACR 0.5"));
    for absent in ["moved by", "certified radius", "wrong", "a<b"] {
        assert!(!svg.contains(absent), "{absent}");
    }
    let all = PlanePoint { poisoned_from: Some((0.9, 0.4)), ..POINT };
    let points = vec![all, PlanePoint { circle: Some(0.1), ..POINT }, PlanePoint { wrong: true, ..POINT }];
    let svg = plane(points).to_svg().unwrap();
    for present in ["moved by", "certified radius", "wrong"] {
        assert!(svg.contains(present), "{present}");
    }
}

#[test]
fn the_boundary_without_poison_is_dashed_at_its_own_place() {
    // Without poison the boundary is at a quarter of the height.
    let nodes = Plane::nodes((0.0, 2.0), (0.0, 1.0), 21, 11);
    let field = Array2::from_shape_vec((11, 21), nodes.iter().map(|node| node.1 + 0.25).collect()).unwrap();
    let svg = Plane { clean_field: Some(field), ..plane(vec![POINT]) }.to_svg().unwrap();
    let [top, height] = ["y", "height"].map(|name| number(&svg, "<clipPath", name));
    let paths: Vec<&str> = svg.split("<path d=\"M").filter(|path| path.contains("stroke-linejoin")).collect();
    assert_eq!(paths.len(), 2);
    for (path, dashed, at) in [(paths[0], true, 0.75), (paths[1], false, 0.5)] {
        assert_eq!(path.split_once("/>").unwrap().0.contains("stroke-dasharray"), dashed);
        let start = path.split_once('L').unwrap().0.split_once(' ').unwrap().1;
        assert!((start.parse::<f64>().unwrap() - (top + at * height)).abs() < 0.2, "{start}");
    }
    assert!(
        svg.contains("without poison") && !plane(vec![POINT]).to_svg().unwrap().contains("without poison")
    );
}

#[test]
fn panels_of_a_grid_stand_in_rows() {
    let panels = vec![plane(vec![POINT]), plane(vec![]), plane(vec![])];
    let grid = PanelGrid { title: "Grid".into(), columns: 2, panels, caption: "Below.".into() };
    let svg = grid.to_svg().unwrap();
    let frames: Vec<(f64, f64)> = svg
        .split("<clipPath")
        .skip(1)
        .map(|part| (number(part, "<rect", "x"), number(part, "<rect", "y")))
        .collect();
    assert_eq!(frames.len(), 3);
    assert!(frames[0].1 == frames[1].1 && frames[0].0 == frames[2].0);
    assert!(frames[0].0 < frames[1].0 && frames[0].1 < frames[2].1);
    let names: std::collections::BTreeSet<&str> =
        svg.split("clipPath id=\"").skip(1).map(|part| &part[..18]).collect();
    assert_eq!(names.len(), 3, "no two share a name");
}

#[test]
fn a_plane_without_a_field_is_an_error() {
    assert!(Plane { field: Array2::zeros((0, 0)), ..plane(vec![]) }.to_svg().is_err());
}
