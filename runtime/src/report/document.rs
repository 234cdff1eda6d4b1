use super::label::INK;

/// Turns an SVG element into a stand-alone SVG file: adds the name space, the size in pixels, a white background and the
/// text style of the pages.
///
/// `svg` is an element as drawn by the charts of this module. If it already has a name space, it is returned unchanged.
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
