use serde::{Deserialize, Serialize};
use tch::{Device, Tensor, no_grad};

use crate::{data::Images, networks::Network};

/// Accuracy of a network on the images of one class, without noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassAccuracy {
    /// The class.
    pub class: usize,
    /// Images of the class that it gets right.
    pub right: u64,
    /// Images of the class.
    pub images: u64,
}

/// Counts the images that the network gets right without noise, for each class in order.
pub fn accuracy_by_class(network: &Network, images: &Images) -> Vec<ClassAccuracy> {
    let mut counts: Vec<ClassAccuracy> =
        (0..network.classes()).map(|class| ClassAccuracy { class, right: 0, images: 0 }).collect();
    no_grad(|| {
        for start in (0..images.len() as i64).step_by(1000) {
            let length = (images.len() as i64 - start).min(1000);
            let answers = network.forward(&images.pixels.narrow(0, start, length)).argmax(-1, false);
            let labels = images.labels.narrow(0, start, length);
            let host = |tensor: &Tensor| -> Vec<i64> {
                let mut values = vec![0; length as usize];
                tensor.to_device(Device::Cpu).copy_data(&mut values, length as usize);
                values
            };
            for (answer, label) in host(&answers).into_iter().zip(host(&labels)) {
                let count = &mut counts[label as usize];
                count.right += u64::from(answer == label);
                count.images += 1;
            }
        }
    });
    counts
}
