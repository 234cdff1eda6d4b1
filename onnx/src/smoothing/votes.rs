use super::{COUNTS_OUTPUT, SAMPLES_INPUT, Smoothing, VOTES_OUTPUT, graph::Parts};
use crate::ElementType;

/// Adds the nodes that compute the votes of each slot from the model's output.
///
/// Each class of a sample gets a 1 if its logit is the largest, a 2 if its logit is NaN or positive infinity, and a 0
/// otherwise. If these sum to 1, the sample votes for the class with the 1; otherwise it votes for nobody. Negative
/// infinity is a logit like others. All sums are of small integers, so they are exact in any order of addition.
///
/// The output of votes has the class of each sample, or for nobody −1 (tie), −2 (a logit is positive infinity) or −3 (a
/// logit is NaN). A sample that does not count has −1.
pub(super) fn add(parts: &mut Parts, smoothing: &Smoothing, element_type: ElementType) {
    let Smoothing { slots, samples, classes, .. } = *smoothing;
    // Logits are compared in single precision, as on the processor.
    let logits = match element_type {
        ElementType::Float => smoothing.output.clone(),
        _ => parts.cast(&smoothing.output, ElementType::Float, "mithridate_smoothing/single"),
    };
    let logits = parts.reshape(&logits, &[slots * samples, classes], "logits");
    let zero = parts.scalar("zero", 0.0);
    let one = parts.scalar("one", 1.0);
    let two = parts.scalar("two", 2.0);
    let infinity = parts.scalar("infinity", f32::INFINITY);
    let between = parts.scalar("between", 1.5);

    // A comparison with NaN is false.
    let proper = parts.call("Less", &[&logits, &infinity], "proper");
    let numbers = parts.call("Where", &[&proper, &logits, &zero], "numbers");
    let largest = parts.largest(&numbers, 1, "largest");
    let below = parts.call("Less", &[&numbers, &largest], "below");
    let top = parts.call("Where", &[&below, &zero, &one], "top");
    let points = parts.call("Where", &[&proper, &top, &two], "points");
    let sum = parts.sum(&points, 1, true, "sum");
    let single = parts.call("Less", &[&sum, &between], "single_largest");

    let position = parts.int32s("position", &[1, samples], 0..samples as i32);
    let valid = parts.input(SAMPLES_INPUT, ElementType::Int32, &[slots, 1]);
    let counted = parts.call("Less", &[&position, &valid], "counted");
    let single = parts.reshape(&single, &[slots, samples], "single_of_slot");
    let votes = parts.call("And", &[&single, &counted], "votes_at_all");
    let votes = parts.reshape(&votes, &[slots, samples, 1], "votes_of_sample");
    let top = parts.reshape(&top, &[slots, samples, classes], "top_of_slot");
    let voted = parts.call("Where", &[&votes, &top, &zero], "voted");

    let counts = parts.sum(&voted, 1, false, "sums");
    parts.cast(&counts, ElementType::Int64, COUNTS_OUTPUT);
    parts.output(COUNTS_OUTPUT, ElementType::Int64, &[slots, classes]);
    if smoothing.votes {
        let numbers: Vec<f32> = (1..=classes).map(|class| class as f32).collect();
        let number = parts.floats("class_number", &[classes], &numbers);
        let numbered = parts.call("Mul", &[&voted, &number], "numbered");
        let number = parts.sum(&numbered, 2, false, "voted_number");
        let class = parts.call("Sub", &[&number, &one], "class");
        // The reason of a vote for nobody: 1 for an infinite logit, 2 for NaN, the larger of both for a sample.
        let most = parts.scalar("most", f32::MAX);
        let infinite = parts.call("Less", &[&most, &logits], "infinite");
        let improper = parts.call("Where", &[&infinite, &one, &two], "improper");
        let reason = parts.call("Where", &[&proper, &zero, &improper], "reason_of_class");
        let reason = parts.largest(&reason, 1, "largest_reason");
        let reason = parts.reshape(&reason, &[slots, samples], "reason_of_slot");
        let reason = parts.call("Where", &[&counted, &reason, &zero], "reason");
        let class = parts.call("Sub", &[&class, &reason], "voted_class");
        parts.cast(&class, ElementType::Int32, VOTES_OUTPUT);
        parts.output(VOTES_OUTPUT, ElementType::Int32, &[slots, samples]);
    }
}
