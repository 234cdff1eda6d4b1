/// Colour of ordinary text.
pub(super) const INK: &str = "#1d1f23";
/// Colour of secondary text.
pub(super) const SOFT: &str = "#5f6570";

/// Width of bold text relative to normal text.
pub(super) const BOLD: f64 = 1.13;

/// Text at a position in a figure. The style is inline, because the style sheet of a page overrides attributes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Label {
    pub x: f64,
    pub y: f64,
    /// `start`, `middle` or `end`: the part of the text that is at `x`.
    pub anchor: &'static str,
    pub style: String,
    pub text: String,
}

impl Label {
    pub fn new(x: f64, y: f64, anchor: &'static str, size: f64, text: &str) -> Self {
        Self {
            x: tenth(x),
            y: tenth(y),
            anchor,
            style: format!("font-size:{size}px;fill:{INK}"),
            text: text.to_owned(),
        }
    }

    pub fn soft(mut self) -> Self {
        self.style = self.style.replace(INK, SOFT);
        self
    }

    pub fn bold(mut self) -> Self {
        self.style.push_str(";font-weight:600");
        self
    }
}

/// A paragraph as one label for each line; the first is at `y`.
pub(super) fn paragraph(text: &str, x: f64, y: f64, width: f64, size: f64) -> Vec<Label> {
    wrap(text, width, size)
        .iter()
        .enumerate()
        .map(|(line, text)| Label::new(x, y + line as f64 * size * 1.3, "start", size, text))
        .collect()
}

/// Breaks text at spaces into lines of at most `width`; a longer word gets a line of its own.
pub(super) fn wrap(text: &str, width: f64, size: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line)
                if text_width(line, size) + text_width(word, size) + text_width(" ", size) <= width =>
            {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Widths of the printable ASCII characters in the bundled font, from the space on, in hundredths of the font size.
const WIDTHS: [u8; 95] = [
    32, 40, 46, 84, 64, 95, 78, 27, 39, 39, 50, 84, 32, 36, 32, 34, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64,
    34, 34, 84, 84, 84, 53, 100, 68, 69, 70, 77, 63, 58, 77, 75, 29, 29, 66, 56, 86, 75, 79, 60, 79, 69, 63,
    61, 73, 68, 99, 69, 61, 69, 39, 34, 39, 84, 50, 50, 61, 63, 55, 63, 62, 35, 63, 63, 28, 28, 58, 28, 97,
    63, 61, 63, 63, 41, 52, 39, 63, 59, 82, 59, 59, 52, 64, 34, 64, 84,
];

/// Width of text in the bundled font at font size `size`. The bundled font is wider than the fonts of most browsers.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    let width = |letter: char| {
        let known = (letter as usize).checked_sub(' ' as usize).and_then(|at| WIDTHS.get(at));
        known.map_or(if letter.is_alphabetic() { 64 } else { 84 }, |&width| u32::from(width))
    };
    f64::from(text.chars().map(width).sum::<u32>()) * size / 100.0
}

/// Rounds a position to a tenth of a pixel: invisible, and it keeps files small.
pub(super) fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_and_no_word_is_lost() {
        let text = "Average certified radius of the smoothed classifier over all test points: 0.412";
        let lines = wrap(text, 200.0, 13.0);
        assert!(lines.len() > 2);
        assert!(lines.iter().all(|line| text_width(line, 13.0) <= 200.0), "{lines:?}");
        assert_eq!(lines.join(" "), text);
        assert_eq!(wrap("incomprehensibilities", 20.0, 13.0), ["incomprehensibilities"]);
        assert!(wrap(" ", 20.0, 13.0).is_empty());
    }
}
