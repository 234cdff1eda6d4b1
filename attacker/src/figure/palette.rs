use std::collections::HashMap;

/// Largest number of colours of a palette whose entries are bytes.
const MOST: usize = 256;
/// Largest error of a colour channel, tried in this order; none of them is visible in a chart.
const TOLERANCES: [u8; 5] = [0, 2, 4, 6, 8];

/// A picture with few colours: a palette and the entry of each pixel.
pub(super) struct Palette {
    /// Red, green and blue of each entry.
    pub colours: Vec<[u8; 3]>,
    /// The entry of each pixel.
    pub entries: Vec<u8>,
}

impl Palette {
    /// The palette with the smallest tolerance that has at most 256 colours; `None` if even the largest tolerance needs
    /// more. `rgb` has three bytes for each pixel. Of similar colours the most frequent is kept, so that grounds and lines
    /// stay exact.
    pub fn new(rgb: &[u8]) -> Option<Self> {
        let mut counts: HashMap<[u8; 3], usize> = HashMap::new();
        for pixel in rgb.chunks_exact(3) {
            *counts.entry([pixel[0], pixel[1], pixel[2]]).or_default() += 1;
        }
        let mut order: Vec<([u8; 3], usize)> = counts.into_iter().collect();
        order.sort_unstable_by_key(|&(colour, count)| (std::cmp::Reverse(count), colour));
        TOLERANCES.into_iter().find_map(|tolerance| {
            let Merged { colours, entry } = merged(&order, tolerance)?;
            let entries = rgb.chunks_exact(3).map(|pixel| entry[&[pixel[0], pixel[1], pixel[2]]]).collect();
            Some(Self { colours, entries })
        })
    }
}

/// A palette and the entry that stands for each colour of a picture.
struct Merged {
    colours: Vec<[u8; 3]>,
    entry: HashMap<[u8; 3], u8>,
}

/// Merges each colour of `order` into the nearest colour of the palette within the tolerance, or adds it to the palette if
/// there is none; `None` if the palette would be too large.
fn merged(order: &[([u8; 3], usize)], tolerance: u8) -> Option<Merged> {
    let mut colours: Vec<[u8; 3]> = Vec::new();
    let mut entry = HashMap::with_capacity(order.len());
    for &(colour, _) in order {
        let nearest =
            colours.iter().map(|known| distance(*known, colour)).enumerate().min_by_key(|near| near.1);
        let number = match nearest {
            Some((number, distance)) if distance <= tolerance => number,
            _ if colours.len() == MOST => return None,
            _ => {
                colours.push(colour);
                colours.len() - 1
            }
        };
        entry.insert(colour, number as u8);
    }
    Some(Merged { colours, entry })
}

/// Largest difference of a channel.
fn distance(a: [u8; 3], b: [u8; 3]) -> u8 {
    a.into_iter().zip(b).map(|(a, b)| a.abs_diff(b)).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restored(palette: &Palette) -> Vec<u8> {
        palette.entries.iter().flat_map(|&entry| palette.colours[usize::from(entry)]).collect()
    }

    #[test]
    fn few_colours_are_kept_as_they_are() {
        let rgb: Vec<u8> = (0..=255).flat_map(|grey| [grey, grey, 255 - grey]).collect();
        let palette = Palette::new(&rgb).unwrap();
        assert_eq!(palette.colours.len(), 256);
        assert_eq!(restored(&palette), rgb);
    }

    #[test]
    fn many_are_merged_within_the_tolerance_and_frequent_ones_stay() {
        // 300 greys and near greys, and white a thousand times.
        let mut rgb: Vec<u8> = (0..150_u8).flat_map(|i| [i, i, i, i, i + 1, i]).collect();
        rgb.extend([255; 3000]);
        let palette = Palette::new(&rgb).unwrap();
        let found = restored(&palette);
        assert!(found.iter().zip(&rgb).all(|(a, b)| a.abs_diff(*b) <= 2));
        assert_eq!(found[900..], rgb[900..]);
    }

    #[test]
    fn too_many_for_any_tolerance_have_no_palette() {
        let rgb: Vec<u8> = (0..10_000_u32)
            .flat_map(|i| [i % 22 * 11, i / 22 % 22 * 11, i / 484 * 11])
            .map(|c| c as u8)
            .collect();
        assert!(Palette::new(&rgb).is_none());
    }
}
