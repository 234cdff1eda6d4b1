use tch::{Device, Kind, Tensor};

use crate::{
    data::Images,
    networks::Architecture,
    random::{Domain, Purpose, Random},
};

/// Classes of the made-up images, as many as MNIST and CIFAR-10 have.
pub(super) const CLASSES: usize = 10;
/// Side in pixels of the squares in the picture of a class.
const SQUARE: i64 = 4;

/// Made-up images that a network learns within a few steps, with probabilities that stay below 1. They have the shape of the data
/// set that the network is made for. Each class has a picture of random dark and bright squares; an image blends the
/// picture of its class (more than half) with that of another class, and has noise of its own.
pub(super) struct MadeUp {
    shape: [i64; 3],
    /// The picture of each class, K×C×H×W.
    pictures: Tensor,
    random: Random,
}

impl MadeUp {
    /// Images of the shape that `network` is made for: 3×32×32 if it has batch normalisation, else 1×28×28.
    pub fn for_network(network: Architecture) -> Self {
        let shape = if network.has_batch_norm() { [3, 32, 32] } else { [1, 28, 28] };
        let [channels, height, width] = shape;
        let random = Random::new(Domain::Data, 0);
        let squares = [CLASSES as i64, channels, height / SQUARE, width / SQUARE];
        let bright = random.uniform(Purpose::Points, u64::MAX, &squares, 1.0).gt(0.0).to_kind(Kind::Float);
        let pictures =
            bright.repeat_interleave_self_int(SQUARE, 2, None).repeat_interleave_self_int(SQUARE, 3, None);
        Self { shape, pictures, random }
    }

    /// Channels, height, width.
    pub fn shape(&self) -> [i64; 3] {
        self.shape
    }

    /// `count` images of class `class`; equal `key`s give equal images.
    pub fn of_class(&self, class: usize, count: usize, key: u64, device: Device) -> Images {
        self.with_labels(&vec![class as i64; count], key, device)
    }

    /// `count` images of all classes but `class`, in turn.
    pub fn of_others(&self, class: usize, count: usize, key: u64, device: Device) -> Images {
        let others: Vec<i64> =
            (0..CLASSES).filter(|&other| other != class).map(|other| other as i64).collect();
        let labels: Vec<i64> = others.into_iter().cycle().take(count).collect();
        self.with_labels(&labels, key, device)
    }

    fn with_labels(&self, labels: &[i64], key: u64, device: Device) -> Images {
        let others = self.random.indices(Purpose::Points, 3 * key, CLASSES, labels.len());
        let [labels, others] = [labels, &others].map(Tensor::from_slice);
        let [own, other] = [&labels, &others].map(|classes| self.pictures.index_select(0, classes));
        let share =
            self.random.uniform(Purpose::Points, 3 * key + 1, &[labels.numel() as i64, 1, 1, 1], 0.15) + 0.65;
        let noise = self.random.uniform(Purpose::Points, 3 * key + 2, &own.size(), 0.2);
        let pixels = (&other + (own - &other) * share) * 0.6 + 0.2 + noise;
        Images { pixels: pixels.to_device(device), labels: labels.to_device(device) }
    }
}
