use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::{certify::Input, noise::NoiseKey, units::Sigma};

/// Inputs whose samples are hits as a fixed pattern says: sample s of input i misses if s % (i + 2) == 0.
fn voted(piece: &Piece) -> Vec<Vote> {
    (0..piece.samples as u64)
        .map(|sample| u16::from((piece.key.block * BLOCK + sample).is_multiple_of(2 + 3 * piece.key.input)))
        .collect()
}

fn settings(n0: u64, n: u64, rule: &str) -> Settings {
    Settings { n0, n, stop: rule.parse().unwrap(), ..Settings::new(Sigma::new(0.5).unwrap(), 0) }
}

/// A scheduler for inputs of one value and two classes, with up to `blocks` blocks in flight.
fn made<'a>(
    inputs: impl Iterator<Item = Input> + 'a,
    procedure: &'a Procedure,
    blocks: usize,
) -> Scheduler<'a, impl Iterator<Item = VoteRequest>> {
    let settings = SchedulerSettings {
        values: 1,
        classes: 2,
        blocks,
        keep_votes: true,
        noise_mode: NoiseMode::Independent,
        precision: InputPrecision::default(),
        first: 0,
    };
    let requests = inputs.map(|input| VoteRequest::of(input, procedure.settings()));
    Scheduler::new(requests, Task::Certify(procedure), settings)
}

/// Runs a scheduler whose batch buffers come back in the order that `turns` gives. Returns the results, and every piece
/// that was put into a batch buffer.
fn run(
    settings: &Settings,
    inputs: u64,
    slots: usize,
    capacity: usize,
    turns: &[usize],
) -> (Vec<Certificate>, Vec<(u64, NoiseKey, usize)>) {
    let procedure = Procedure::new(settings.clone()).unwrap();
    let list = (0..inputs).map(|index| Input { index, label: None, image: vec![0.0] });
    let mut scheduler = made(list, &procedure, slots * capacity / 64);
    let (mut under_way, mut handed, mut results) = (Vec::new(), Vec::new(), Vec::new());
    let mut turn = turns.iter().cycle();
    loop {
        while under_way.len() < slots {
            let mut buffer = BatchBuffer::new(capacity, capacity, Vec::new()).unwrap();
            if !scheduler.fill(&mut buffer).unwrap() {
                break;
            }
            assert!(buffer.samples <= capacity);
            assert_eq!(buffer.samples, buffer.pieces.iter().map(|piece| piece.samples).sum::<usize>());
            handed.extend(buffer.pieces.iter().map(|piece| (piece.input, piece.key, piece.samples)));
            buffer.voted = buffer.pieces.iter().flat_map(voted).collect();
            under_way.push(buffer);
        }
        if under_way.is_empty() {
            return (results, handed);
        }
        let buffer = under_way.remove(turn.next().unwrap() % under_way.len());
        scheduler.collect(&buffer).unwrap();
        while let Some((_, sampled)) = scheduler.next_finished() {
            let (certificate, kept) = sampled.certify(&procedure).unwrap();
            // The kept votes are the counted votes.
            let mut again = Votes::none(2);
            again.count(&kept.unwrap());
            assert_eq!(again, certificate.estimation);
            results.push(certificate);
        }
    }
}

proptest! {
    #[test]
    fn every_sample_is_handed_out_once_in_blocks(
        n0 in 1_u64..300, n in 1_u64..700, inputs in 1_u64..6, capacity in 64_usize..500, slots in 1_usize..4,
        turns in prop::collection::vec(0_usize..4, 1..9)
    ) {
        let (results, handed) = run(&settings(n0, n, "fixed"), inputs, slots, capacity, &turns);
        prop_assert_eq!(results.iter().map(|result| result.index).collect::<Vec<_>>(), (0..inputs).collect::<Vec<_>>());
        let mut seen: BTreeMap<(u64, bool), Vec<(u64, usize)>> = BTreeMap::new();
        for (input, key, samples) in handed {
            prop_assert_eq!(key.input, input);
            seen.entry((input, key.role == Role::Estimation)).or_default().push((key.block, samples));
        }
        prop_assert_eq!(seen.len() as u64, 2 * inputs);
        for ((_, estimation), blocks) in seen {
            let total = if estimation { n } else { n0 };
            prop_assert_eq!(blocks.iter().map(|block| block.1 as u64).sum::<u64>(), total);
            for (position, (block, samples)) in blocks.iter().enumerate() {
                prop_assert_eq!(*block, position as u64);
                prop_assert!(*samples == BLOCK as usize || position + 1 == blocks.len());
            }
        }
    }

    /// With packing, and with batch buffers that come back in any order, the certificates are the same as those of one
    /// input after the other.
    #[test]
    fn packing_changes_no_vote(
        rule in 0_usize..4, n in 300_u64..6000, inputs in 1_u64..20, capacity in 64_usize..1000, slots in 1_usize..6,
        turns in prop::collection::vec(0_usize..6, 1..9)
    ) {
        let rule = ["radius:0.2,0.5,0.9", "precision:0.1", "precision:20%", "loss:0.2"][rule];
        let settings = settings(100, n, rule);
        let plain = |results: Vec<Certificate>| -> Vec<Certificate> {
            results.into_iter().map(|result| Certificate { seconds: 0.0, ..result }).collect()
        };
        let (packed, _) = run(&settings, inputs, slots, capacity, &turns);
        let (single, _) = run(&settings, inputs, 1, 64, &[0]);
        prop_assert_eq!(plain(packed), plain(single));
    }
}

/// Estimation samples may come back before the last selection samples.
#[test]
fn votes_are_counted_in_whatever_order_they_come_back() {
    let settings = settings(100, 300, "fixed");
    let scheduler_settings = SchedulerSettings {
        values: 1,
        classes: 2,
        blocks: 8,
        keep_votes: false,
        noise_mode: NoiseMode::Independent,
        precision: InputPrecision::default(),
        first: 0,
    };
    let list = (0..2).map(|index| Input { index, label: None, image: vec![0.0] });
    let requests = list.map(|input| VoteRequest::of(input, &settings));
    let mut scheduler = Scheduler::new(requests, Task::Count(&settings), scheduler_settings);
    let mut under_way = Vec::new();
    loop {
        let mut buffer = BatchBuffer::new(64, 64, Vec::new()).unwrap();
        if !scheduler.fill(&mut buffer).unwrap() {
            break;
        }
        buffer.voted = buffer.pieces.iter().flat_map(voted).collect();
        under_way.push(buffer);
    }
    while let Some(buffer) = under_way.pop() {
        scheduler.collect(&buffer).unwrap();
    }
    for index in 0..2 {
        let counted = scheduler.next_finished().unwrap().1.counted();
        assert_eq!((counted.index, counted.selection.samples(), counted.samples), (index, 100, 300));
        assert_eq!(counted.estimation.samples(), 300);
    }
    scheduler.finish().unwrap();
}

#[test]
fn the_least_sampled_input_comes_first_and_batches_stay_full() {
    let settings = settings(64, 100_000, "radius:0.5");
    let procedure = Procedure::new(settings).unwrap();
    let list = (0..40).map(|index| Input { index, label: None, image: vec![0.0] });
    let mut scheduler = made(list, &procedure, 20);
    let mut buffer = BatchBuffer::new(640, 640, Vec::new()).unwrap();
    assert!(scheduler.fill(&mut buffer).unwrap());
    let inputs: Vec<u64> = buffer.pieces.iter().map(|piece| piece.input).collect();
    assert_eq!(inputs, (0..10).collect::<Vec<_>>());
    // With one input left, the batch is still full.
    let list = (0..1).map(|index| Input { index, label: None, image: vec![0.0] });
    let mut scheduler = made(list, &procedure, 20);
    assert!(scheduler.fill(&mut buffer).unwrap());
    assert_eq!((buffer.pieces.len(), buffer.samples), (10, 640));
}

#[test]
fn when_time_is_up_the_votes_without_a_gap_count() {
    let settings = settings(64, 100_000, "deadline:60000");
    let procedure = Procedure::new(settings).unwrap();
    let list = (0..1).map(|index| Input { index, label: None, image: vec![0.0] });
    let mut scheduler = made(list, &procedure, 20);
    let mut slots: Vec<BatchBuffer> =
        (0..3).map(|_| BatchBuffer::new(128, 128, Vec::new()).unwrap()).collect();
    for buffer in &mut slots {
        assert!(scheduler.fill(buffer).unwrap());
    }
    // Selection and a block; two blocks of which the second is cut short; two blocks.
    for (buffer, samples) in slots.iter_mut().zip([128, 90, 128]) {
        buffer.voted = vec![0; samples];
        scheduler.collect(buffer).unwrap();
    }
    assert!(!scheduler.fill(&mut slots[0]).unwrap());
    let (certificate, _) = scheduler.next_finished().unwrap().1.certify(&procedure).unwrap();
    assert_eq!((certificate.samples, certificate.estimation), (64 + 90, vec![64 + 90, 0].into()));
    assert!(certificate.radius.is_some());
}
