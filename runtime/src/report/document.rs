use super::label::INK;

/// A figure as an SVG file of its own: name space, size in pixels, white ground, and the style that a page would give.
///
/// `svg` is what the charts of this module draw. A document that names its name space already is left as it is.
pub fn document(svg: &str) -> String {
    let Some((head, body)) = svg.split_once('>').filter(|(head, _)| !head.contains("xmlns=")) else {
        return svg.to_owned();
    };
    let size: Vec<&str> = head
        .split_once("viewBox=\"0 0 ")
        .and_then(|(_, rest)| rest.split_once('"'))
        .map(|(size, _)| size.split(' ').collect())
        .unwrap_or_default();
    let [width, height] = size[..] else { return svg.to_owned() };
    let start = head.trim_start().trim_start_matches("<svg");
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\"{start}>\n\
         <style>text {{ font-family: system-ui, 'Segoe UI', Roboto, Arial, 'DejaVu Sans', sans-serif; \
         font-size: 13px; fill: {INK} }}</style>\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>{body}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_becomes_a_document_once() {
        let chart = "<svg viewBox=\"0 0 720 392\" role=\"img\"><text>a</text></svg>";
        let whole = document(chart);
        assert!(
            whole.starts_with(
                "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"720\" height=\"392\" viewBox"
            )
        );
        assert!(whole.ends_with("fill=\"#fff\"/><text>a</text></svg>"), "{whole}");
        assert_eq!(document(&whole), whole);
    }
}
