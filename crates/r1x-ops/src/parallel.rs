//! Work on several threads with results that cannot tell how many there were.
//!
//! Items are computed by single-thread code, one item on one thread; what has an order (a sum of gradients) is
//! folded in item order.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError, mpsc};

/// Calls `work(item, state)` for every item and `fold(item, state)` in item order. Each thread has a state of
/// its own from `states`, whose length is the number of threads; a thread starts its next item only after its
/// last one was folded, so `states` is all the memory there is.
pub fn for_each_ordered<S: Send>(
    items: usize,
    states: &mut [S],
    work: impl Fn(usize, &mut S) + Sync,
    fold: impl FnMut(usize, &mut S) + Send,
) {
    if states.len() <= 1 || items <= 1 {
        let mut fold = fold;
        let Some(state) = states.first_mut() else { return };
        for item in 0..items {
            work(item, state);
            fold(item, state);
        }
        return;
    }
    let next = AtomicUsize::new(0);
    let turn = Mutex::new((0usize, fold));
    let turned = Condvar::new();
    std::thread::scope(|scope| {
        for state in states.iter_mut().take(items) {
            scope.spawn(|| {
                loop {
                    let item = next.fetch_add(1, Ordering::Relaxed);
                    if item >= items {
                        break;
                    }
                    // If `work` panics, later items must not wait for a turn that never comes.
                    let guard = Turn { turn: &turn, turned: &turned };
                    work(item, state);
                    std::mem::forget(guard);
                    let mut held = turn.lock().unwrap_or_else(PoisonError::into_inner);
                    while held.0 < item {
                        held = turned.wait(held).unwrap_or_else(PoisonError::into_inner);
                    }
                    if held.0 == item {
                        (held.1)(item, state);
                        held.0 += 1;
                    }
                    drop(held);
                    turned.notify_all();
                }
            });
        }
    });
}

/// Things that items change one after the other: the first item first, whichever thread it falls to. Each thing
/// has an order of its own, so an item that is done with one does not keep others from it.
pub struct InOrder<'a, T: ?Sized> {
    things: Vec<(Mutex<(usize, &'a mut T)>, Condvar)>,
}

impl<'a, T: ?Sized> InOrder<'a, T> {
    /// Nothing has been changed yet.
    pub fn new(things: impl IntoIterator<Item = &'a mut T>) -> Self {
        let thing = |thing| (Mutex::new((0, thing)), Condvar::new());
        Self { things: things.into_iter().map(thing).collect() }
    }

    /// Calls `change` once every earlier item has had its turn with this thing. Each item has one.
    pub fn turn(&self, thing: usize, item: usize, change: impl FnOnce(&mut T)) {
        let (held, turned) = &self.things[thing];
        let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
        while held.0 < item {
            held = turned.wait(held).unwrap_or_else(PoisonError::into_inner);
        }
        if held.0 == item {
            change(held.1);
            held.0 += 1;
        }
        drop(held);
        turned.notify_all();
    }

    /// Runs one item's work; if it panics, later items do not wait for turns that never come.
    pub fn guard<O>(&self, work: impl FnOnce() -> O) -> O {
        let guard = Abandon(self);
        let output = work();
        std::mem::forget(guard);
        output
    }
}

struct Abandon<'b, 'a, T: ?Sized>(&'b InOrder<'a, T>);

impl<T: ?Sized> Drop for Abandon<'_, '_, T> {
    fn drop(&mut self) {
        for (held, turned) in &self.0.things {
            held.lock().unwrap_or_else(PoisonError::into_inner).0 = usize::MAX;
            turned.notify_all();
        }
    }
}

/// Releases everybody when a worker unwinds; the scope then passes the panic on.
struct Turn<'a, F> {
    turn: &'a Mutex<(usize, F)>,
    turned: &'a Condvar,
}

impl<F> Drop for Turn<'_, F> {
    fn drop(&mut self) {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner).0 = usize::MAX;
        self.turned.notify_all();
    }
}

/// Calls `work` once per item, spread over the given number of threads, and returns the results in order.
pub fn map<I: Send, T: Send>(
    items: Vec<I>,
    threads: usize,
    work: impl Fn(I) -> T + Sync,
) -> Vec<T> {
    if threads <= 1 || items.len() <= 1 {
        return items.into_iter().map(work).collect();
    }
    let count = items.len();
    let queue = Mutex::new(items.into_iter().enumerate());
    let results = Mutex::new((0..count).map(|_| None).collect::<Vec<Option<T>>>());
    std::thread::scope(|scope| {
        for _ in 0..threads.min(count) {
            scope.spawn(|| {
                loop {
                    let taken = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((index, item)) = taken else { break };
                    let result = work(item);
                    results.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(result);
                }
            });
        }
    });
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.into_iter().flatten().collect()
}

/// Calls `work(emit)` once on each of the given number of threads, and `take` on the calling thread with
/// everything they emit, in the order of emission.
pub fn emit<T: Send>(
    threads: usize,
    work: impl Fn(&mut dyn FnMut(T)) + Sync,
    mut take: impl FnMut(T),
) {
    if threads <= 1 {
        work(&mut take);
        return;
    }
    std::thread::scope(|scope| {
        let (sender, arriving) = mpsc::channel();
        for _ in 0..threads {
            let (sender, work) = (sender.clone(), &work);
            // Nobody listens only when the caller is unwinding.
            scope.spawn(move || work(&mut |emitted| drop(sender.send(emitted))));
        }
        // The last thread to end closes the channel.
        drop(sender);
        arriving.into_iter().for_each(take);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_happens_in_item_order_for_any_number_of_threads() {
        for threads in 1..5 {
            let mut states = vec![0u64; threads];
            let mut seen = Vec::new();
            for_each_ordered(
                37,
                &mut states,
                |item, state| {
                    std::thread::yield_now();
                    *state = (item * item) as u64;
                },
                |item, state| seen.push((item, *state)),
            );
            let expected: Vec<_> = (0..37).map(|i| (i, (i * i) as u64)).collect();
            assert_eq!(seen, expected, "{threads} threads");
        }
    }

    #[test]
    fn map_keeps_the_order() {
        for threads in 1..4 {
            assert_eq!(
                map((0..50).collect(), threads, |x: i32| x * 2),
                (0..50).map(|x| x * 2).collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn what_is_emitted_is_taken_while_others_still_work() {
        for threads in 1..4 {
            let taken = AtomicUsize::new(0);
            let mut sum = 0;
            let work = |emit: &mut dyn FnMut(usize)| {
                emit(1);
                // Every thread waits until all first emissions were taken, which needs the caller.
                while threads > 1 && taken.load(Ordering::Relaxed) < threads {
                    std::thread::yield_now();
                }
                emit(10);
            };
            emit(threads, work, |emitted| {
                sum += emitted;
                taken.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(sum, 11 * threads);
        }
    }

    #[test]
    fn every_thing_is_changed_in_item_order() {
        for threads in 1..4 {
            let mut things = [Vec::new(), Vec::new(), Vec::new()];
            let order = InOrder::new(things.iter_mut());
            map((0..20).collect(), threads, |item: usize| {
                order.guard(|| {
                    for thing in [2, 0, 1] {
                        std::thread::yield_now();
                        order.turn(thing, item, |seen| seen.push(item));
                    }
                });
            });
            drop(order);
            for seen in things {
                assert_eq!(seen, (0..20).collect::<Vec<_>>(), "{threads} threads");
            }
        }
    }

    #[test]
    fn an_item_that_panics_keeps_nobody_waiting() {
        let result = std::panic::catch_unwind(|| {
            let mut things = [0];
            let order = InOrder::new(things.iter_mut());
            map((0..8).collect(), 2, |item: usize| {
                order.guard(|| {
                    assert!(item != 3, "item 3");
                    order.turn(0, item, |sum| *sum += item);
                });
            });
        });
        assert!(result.is_err());
    }

    #[test]
    fn a_panic_reaches_the_caller_instead_of_hanging_the_others() {
        let result = std::panic::catch_unwind(|| {
            let mut states = vec![(); 2];
            for_each_ordered(8, &mut states, |item, ()| assert!(item != 3, "item 3"), |_, ()| {});
        });
        assert!(result.is_err());
    }
}
