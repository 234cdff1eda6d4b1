use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use crate::Error;

/// The state of all pieces of work, which the worker threads share.
#[derive(Debug)]
struct Board {
    started: Vec<bool>,
    finished: Vec<bool>,
    failure: Option<Error>,
}

/// Runs `work(i)` for each piece of work i, up to `jobs` at a time, each after the pieces it needs. After a failure no
/// more pieces are started.
///
/// `needs[i]` are the indices of the pieces that piece i needs, all smaller than i.
///
/// # Errors
/// The first failure.
pub(super) fn run_in_order(
    needs: &[Vec<usize>],
    jobs: usize,
    work: impl Fn(usize) -> Result<(), Error> + Sync,
) -> Result<(), Error> {
    let count = needs.len();
    let board =
        Mutex::new(Board { started: vec![false; count], finished: vec![false; count], failure: None });
    let changed = Condvar::new();
    // A worker that panics does not change the shared state.
    let lock = || -> MutexGuard<'_, Board> { board.lock().unwrap_or_else(PoisonError::into_inner) };
    let worker = || {
        let mut held = lock();
        loop {
            if held.failure.is_some() || held.started.iter().all(|&started| started) {
                return;
            }
            let ready = (0..count).find(|&piece| {
                !held.started[piece] && needs[piece].iter().all(|&needed| held.finished[needed])
            });
            let Some(piece) = ready else {
                held = changed.wait(held).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            held.started[piece] = true;
            drop(held);
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(piece)))
                .unwrap_or_else(|payload| Err(Error::computation(&*payload)));
            held = lock();
            match result {
                Ok(()) => held.finished[piece] = true,
                Err(error) => {
                    held.failure.get_or_insert(error);
                }
            }
            changed.notify_all();
        }
    };
    if jobs <= 1 {
        worker();
    } else {
        thread::scope(|scope| {
            for _ in 0..jobs {
                scope.spawn(worker);
            }
        });
    }
    board.into_inner().unwrap_or_else(PoisonError::into_inner).failure.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use super::*;

    #[test]
    fn pieces_come_after_what_they_need_and_side_by_side_where_they_can() {
        let needs = [vec![], vec![0], vec![0], vec![], vec![1, 2, 3]];
        for jobs in [1, 2, 4] {
            let order = Mutex::new(Vec::new());
            let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
            run_in_order(&needs, jobs, |piece| {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                thread::sleep(Duration::from_millis(20));
                running.fetch_sub(1, Ordering::SeqCst);
                order.lock().unwrap().push(piece);
                Ok(())
            })
            .unwrap();
            let order = order.into_inner().unwrap();
            assert_eq!(order.len(), 5);
            let place = |piece| order.iter().position(|&other| other == piece).unwrap();
            for (piece, needs) in needs.iter().enumerate() {
                assert!(needs.iter().all(|&needed| place(needed) < place(piece)), "{order:?}");
            }
            assert_eq!(most.into_inner() > 1, jobs > 1);
        }
    }

    #[test]
    fn after_a_failure_nothing_is_started() {
        let needs = [vec![], vec![0], vec![1]];
        let ran = AtomicUsize::new(0);
        let error = run_in_order(&needs, 2, |piece| {
            ran.fetch_add(1, Ordering::SeqCst);
            if piece == 1 { Err(Error::Ineffective) } else { Ok(()) }
        });
        assert!(matches!(error, Err(Error::Ineffective)));
        assert_eq!(ran.into_inner(), 2);
        let error = run_in_order(&[vec![]], 1, |_| panic!("out of memory\nwith a trace")).unwrap_err();
        assert!(error.to_string().ends_with(": out of memory"), "{error}");
    }
}
