use tch::{Device, Kind, Tensor};

use crate::{
    Error,
    random::{Purpose, Random},
};

/// Data augmentation: random crops and mirror images, as usual for small colour images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Augmentation {
    /// Zeros added on every side before a random crop to the old size; 0 for no crop.
    pub crop: usize,
    /// Whether images are mirrored left to right with probability ½.
    pub flip: bool,
}

/// The crop and flip of each image of a batch, which stay fixed while a loss is differentiated.
#[derive(Debug)]
pub struct Crops {
    padding: i64,
    /// N×1×H×1 and N×1×1×W: row and column of the padded image that each pixel comes from.
    rows: Tensor,
    columns: Tensor,
}

impl Augmentation {
    /// Checks that a crop of images C×H×W always contains a pixel of the image.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn check(self, [_, height, width]: [usize; 3]) -> Result<(), Error> {
        let side = height.min(width);
        if self.crop < side {
            return Ok(());
        }
        let expected = format!("less than {side} pixels (the smaller side of the images)");
        Err(Error::setting("crop", expected, &self.crop))
    }

    /// Draws crops and flips for images N×C×H×W; `None` if there is no augmentation.
    pub fn draw(self, random: Random, purpose: Purpose, step: u64, images: &Tensor) -> Option<Crops> {
        if self == Self::default() {
            return None;
        }
        let [count, _, height, width] = images.size()[..] else { return None };
        let n = count as usize;
        let offsets = random.indices(purpose, 2 * step, 2 * self.crop + 1, 2 * n);
        let flips = if self.flip { random.coins(purpose, 2 * step + 1, n) } else { vec![false; n] };
        let rows: Vec<i64> = offsets[..n].iter().flat_map(|&top| top..top + height).collect();
        let columns: Vec<i64> = offsets[n..]
            .iter()
            .zip(flips)
            .flat_map(|(&left, flip)| (0..width).map(move |x| left + if flip { width - 1 - x } else { x }))
            .collect();
        let device = images.device();
        Some(Crops {
            padding: self.crop as i64,
            rows: Tensor::from_slice(&rows).view([count, 1, height, 1]).to_device(device),
            columns: Tensor::from_slice(&columns).view([count, 1, 1, width]).to_device(device),
        })
    }
}

impl Crops {
    /// The images N×C×H×W, cropped and flipped; differentiable.
    pub fn apply(&self, images: &Tensor) -> Tensor {
        let size = images.size();
        let along = |length: i64, shape: &[i64], device: Device| {
            Tensor::arange(length, (Kind::Int64, device)).view(shape)
        };
        let number = along(size[0], &[-1, 1, 1, 1], images.device());
        let channel = along(size[1], &[1, -1, 1, 1], images.device());
        let padding = self.padding;
        let padded = images.constant_pad_nd([padding, padding, padding, padding]);
        padded.index(&[
            Some(number),
            Some(channel),
            Some(self.rows.shallow_clone()),
            Some(self.columns.shallow_clone()),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Domain;

    #[test]
    fn a_crop_that_could_leave_nothing_is_refused() {
        let crop = |crop| Augmentation { crop, flip: false }.check([3, 8, 6]);
        assert!(crop(0).is_ok() && crop(5).is_ok());
        let error = crop(6).unwrap_err().to_string();
        assert_eq!(error, "crop must be less than 6 pixels (the smaller side of the images) and is 6");
    }

    #[test]
    fn every_image_is_a_shifted_perhaps_mirrored_copy_of_itself() {
        let images = Tensor::arange(6 * 2 * 5 * 4, (Kind::Float, Device::Cpu)).view([6, 2, 5, 4]) + 1.0;
        let random = Random::new(Domain::Victim, 3);
        let augmentation = Augmentation { crop: 2, flip: true };
        let crops = augmentation.draw(random, Purpose::Augmentation, 7, &images).unwrap();
        let found = crops.apply(&images);
        let padded = images.constant_pad_nd([2, 2, 2, 2]);
        let mut kinds = std::collections::BTreeSet::new();
        for image in 0..6 {
            let matching =
                (0..5).flat_map(|top| (0..5).map(move |left| (top, left))).find_map(|(top, left)| {
                    let area = padded.get(image).narrow(1, top, 5).narrow(2, left, 4);
                    let same = |area: &Tensor| *area == found.get(image);
                    if same(&area) {
                        Some((top, left, false))
                    } else {
                        same(&area.flip([2])).then_some((top, left, true))
                    }
                });
            kinds.insert(matching.expect("a shifted copy"));
        }
        assert!(kinds.len() > 3, "{kinds:?}");
        let again = augmentation.draw(random, Purpose::Augmentation, 7, &images).unwrap().apply(&images);
        assert_eq!(found, again);
        assert!(Augmentation::default().draw(random, Purpose::Augmentation, 7, &images).is_none());
    }
}
