use super::Header;
use crate::backend::InputOptions;

impl Header {
    /// How the run gave images to its model and which output it read, so that the model can be run the same way again.
    pub fn input_options(&self) -> InputOptions {
        let used = &self.model.r#use;
        let preprocessing = &used.preprocessing;
        InputOptions {
            image: Some(self.data.shape),
            layout: Some(preprocessing.layout),
            range: Some(preprocessing.range),
            mean: Some(preprocessing.mean.clone()),
            std: Some(preprocessing.std.clone()),
            output: used.output.clone(),
            side: None,
            sigma: Some(self.settings.sigma.get()),
            // A model that was not rewritten is not now.
            keep_batch: used.batch_rewritten_from.is_none(),
        }
    }
}
