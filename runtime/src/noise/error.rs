/// The reason why noise can't be drawn.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NoiseError {
    /// σ is outside the range for which noise on the grid of 1/255 can be drawn.
    #[error("noise on the grid of 1/255 needs a sigma from {least} to {most}, not {sigma}")]
    GridSigma {
        /// The requested σ.
        sigma: f64,
        /// Smallest σ possible.
        least: f64,
        /// Largest σ possible.
        most: f64,
    },
}
