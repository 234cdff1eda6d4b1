use mithridate_onnx::{
    NotInference, NotScores, OnnxError, find_not_inference, find_not_scores, messages::ModelProto,
};

/// A sentence about an operator that makes an output depend on more than its own input, such as a random one; `None` if
/// there is none.
pub(super) fn not_inference(model: &ModelProto, output: &str) -> Result<Option<String>, OnnxError> {
    let Some((node, problem)) = find_not_inference(model, output)? else { return Ok(None) };
    let why = match problem {
        NotInference::Random => {
            "which draws random numbers, so that the same input gets different answers and no result could be verified; export it \
             in inference mode and without that operator"
        }
        NotInference::Dropout => {
            "which is in training mode and drops values at random (versions of ONNX Runtime that leave the node out run \
             another model than the file holds); export it in inference mode"
        }
        NotInference::DropoutPerhaps => {
            "whose training mode is computed by the model, so that it may drop values at random; export it in inference mode"
        }
        NotInference::BatchStatistics => {
            "which is in training mode and normalises by the mean and variance of each batch, so that samples would not \
             be independent; export it in inference mode"
        }
    };
    Ok(Some(format!("its output {output} depends on {node}, {why}")))
}

/// A sentence about an operator that shows that an output does not have a score for each class; `None` if there is
/// none.
pub(super) fn not_scores(model: &ModelProto, output: &str) -> Result<Option<String>, OnnxError> {
    let Some((node, problem)) = find_not_scores(model, output)? else { return Ok(None) };
    let what = match problem {
        NotScores::Sorted => {
            "which puts values in order of size, so that the first or the last is always the largest"
        }
        NotScores::Numbers => "which returns indices and not values",
        NotScores::Boxes => "which selects boxes, as object detectors do",
    };
    Ok(Some(format!(
        "its output {output} comes from {node}, {what}, and not a logit or probability for each class; if it does hold \
         one for each class, confirm this with `output` {output}"
    )))
}
