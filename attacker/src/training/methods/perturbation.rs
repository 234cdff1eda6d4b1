use tch::Tensor;

/// The noise of each copy of an image, plus the adversary's perturbation if the method has one. It is drawn for every
/// loss and stays fixed while that loss is differentiated.
#[derive(Debug)]
pub struct Perturbation {
    copies: i64,
    /// N·copies×C×H×W, the copies of an image side by side.
    offset: Option<Tensor>,
}

impl Perturbation {
    /// The images as they are, one copy of each.
    pub(super) fn none() -> Self {
        Self { copies: 1, offset: None }
    }

    /// `copies` copies of each image, to which `offset`, N·copies×C×H×W, is added.
    pub(super) fn new(copies: i64, offset: Tensor) -> Self {
        Self { copies, offset: Some(offset) }
    }

    /// The inputs of the network for images N×C×H×W, (N·copies)×C×H×W; differentiable.
    pub fn apply(&self, images: &Tensor) -> Tensor {
        match &self.offset {
            None => images.shallow_clone(),
            Some(offset) if self.copies == 1 => images + offset,
            Some(offset) => images.repeat_interleave_self_int(self.copies, 0, None) + offset,
        }
    }

    /// Reshapes the logits (N·copies)×K of these inputs to N×copies×K.
    pub fn by_image(&self, logits: &Tensor) -> Tensor {
        logits.view([-1, self.copies, logits.size()[1]])
    }

    /// The same in double precision.
    #[must_use]
    pub fn to_double(&self) -> Self {
        Self {
            copies: self.copies,
            offset: self.offset.as_ref().map(|offset| offset.to_kind(tch::Kind::Double)),
        }
    }
}
