use super::Header;
use crate::backend::InputOptions;

impl Header {
    /// The options with which the run opened its model: preprocessing, output, batch. They let others run the model in
    /// the same way.
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
            // Rewrite the batch only if the run did.
            keep_batch: used.batch_rewritten_from.is_none(),
        }
    }
}
