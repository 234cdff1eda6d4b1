use std::collections::BTreeSet;

use super::recertification::check_terms;
use crate::{
    certify::{MAX_CLASSES, Procedure},
    evidence::{Header, ModelUse, challenge},
};

/// Largest number of values of an image.
const MOST_VALUES: usize = 1 << 28;

/// Checks a header by itself: its settings must be valid, redundant fields must agree, and the simultaneous claim must
/// match α. Calls `add` with every problem. Returns the certification procedure of the settings, or `None` if they are
/// invalid.
pub(in crate::evidence) fn check_header(header: &Header, mut add: impl FnMut(String)) -> Option<Procedure> {
    let procedure = Procedure::new(header.settings.clone());
    if let Err(error) = &procedure {
        add(error.to_string());
    }
    check_data(header, &mut add);
    check_selection(header, &mut add);
    check_model(header, &mut add);
    let (generator, expected) = (&header.noise.generator, header.settings.distribution.generator());
    if generator != expected {
        add(format!(
            "its generator of noise is '{generator}', and that of {} noise is '{expected}'",
            header.settings.distribution
        ));
    }
    if let Some(from) = &header.recertification {
        check_terms(header, from, &mut add);
    }
    challenge::check(header, &mut add);
    check_claim(header, add);
    procedure.ok()
}

fn check_data(header: &Header, add: &mut impl FnMut(String)) {
    let data = &header.data;
    if data.values().is_none_or(|values| !(1..=MOST_VALUES).contains(&values)) {
        add(format!(
            "its images have the shape {:?}; an image has from 1 to {MOST_VALUES} values",
            data.shape
        ));
    }
    if data.range != [0.0, 1.0] {
        let [least, greatest] = data.range;
        add(format!(
            "its images have values from {least} to {greatest}, and `rscert` certifies images from 0 to 1"
        ));
    }
}

fn check_selection(header: &Header, add: &mut impl FnMut(String)) {
    let (selection, classes) = (&header.subset, header.model.classes);
    if selection.count == 0 || selection.skip == 0 || selection.max == Some(0) {
        add("its selection contains no input".into());
    }
    if let Some(max) = selection.max.filter(|&max| (max as u64) < selection.count) {
        add(format!("its selection contains {} inputs, and its limit is {max}", selection.count));
    }
    if !selection.classes.is_sorted_by(|before, after| before < after) {
        add("the classes of its selection are not in order".into());
    }
    if let Some(class) = selection.classes.iter().find(|&&class| class >= classes) {
        add(format!("it selects class {class}, and the model has {classes} classes"));
    }
}

fn check_model(header: &Header, add: &mut impl FnMut(String)) {
    let (model, channels) = (&header.model, header.data.shape[0]);
    if !(1..=MAX_CLASSES).contains(&model.classes) {
        add(format!("its model has {} classes; from 1 to {MAX_CLASSES} are possible", model.classes));
    }
    let preprocessing = &model.r#use.preprocessing;
    if let Err(problem) = preprocessing.check(channels) {
        return add(format!("its preprocessing is not valid: {problem}"));
    }
    if preprocessing.clone().in_normal_form() != *preprocessing {
        add("its preprocessing is not in the shortest form, in which `rscert` writes it".into());
    }
    let labels = &model.r#use.class_labels;
    let distinct: BTreeSet<&String> = labels.iter().collect();
    if !labels.is_empty() && (labels.len() != model.classes || distinct.len() != labels.len()) {
        add(format!(
            "it has {} class labels for {} classes, or the same label twice",
            labels.len(),
            model.classes
        ));
    }
    let stated = &model.r#use.sigma_in_model;
    let expected = if stated.len() == channels {
        ModelUse::sigma_in_model(preprocessing, channels, header.settings.sigma)
    } else {
        // A header may declare any number of channels. If all are treated alike, computing a few of them is enough.
        let different = channels.min(preprocessing.mean.len().max(preprocessing.std.len()).max(1));
        ModelUse::sigma_in_model(preprocessing, different, header.settings.sigma)
    };
    if *stated != expected {
        add(format!(
            "its sigma in units of the model is {stated:?} and must be {expected:?} for its preprocessing"
        ));
    }
}

/// Checks that the simultaneous claim agrees with the settings of the run.
fn check_claim(header: &Header, mut add: impl FnMut(String)) {
    let Some(claim) = &header.simultaneous else { return };
    if claim.inputs != header.subset.count {
        add(format!(
            "its claim is about {} inputs at once, and {} were selected",
            claim.inputs, header.subset.count
        ));
    }
    match claim.alpha_each() {
        Ok(alpha) if alpha == header.settings.alpha => {}
        Ok(alpha) => add(format!("its alpha is {} and must be {alpha} for its claim", header.settings.alpha)),
        Err(error) => add(error.to_string()),
    }
}
