//! Work spread over processors, and given up when nobody waits for it any more.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, bounded};

use crate::error::{Error, ErrorKind, Result};

/// Processors for us. To ask takes longer than a small report, so it is asked once.
pub fn processors() -> usize {
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    *PROCESSORS.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// How long the work of a thread, and of those that it spreads work over, is worth going on.
#[derive(Clone)]
pub struct Patience(Arc<Inner>);

struct Inner {
    begun: Instant,
    most: Duration,
    is_awaited: Box<dyn Fn() -> bool + Send + Sync>,
    /// Milliseconds since it began at which that was asked last.
    asked: AtomicU64,
}

/// How often somebody is asked whether they still wait.
const ASK: u64 = 50;

thread_local! {
    static PATIENCE: RefCell<Option<Patience>> = const { RefCell::new(None) };
}

impl Patience {
    /// For so long at most, and only while `is_awaited`, which is asked now and then, by any of the threads.
    pub fn new(most: Duration, is_awaited: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        let is_awaited = Box::new(is_awaited);
        Self(Arc::new(Inner { begun: Instant::now(), most, is_awaited, asked: AtomicU64::new(0) }))
    }

    fn check(&self) -> Result<()> {
        let Inner { begun, most, is_awaited, asked } = &*self.0;
        let elapsed = begun.elapsed();
        if elapsed >= *most {
            let message = format!("it took more than {} seconds, and was given up", most.as_secs());
            return Err(Error::new(ErrorKind::Busy, "too_long", message)
                .hint("ask for fewer steps, events or days, or when less is going on"));
        }
        let now = elapsed.as_millis() as u64;
        if now >= asked.load(Relaxed) + ASK {
            asked.store(now, Relaxed);
            if !is_awaited() {
                return Err(Error::new(ErrorKind::Busy, "gone", "nobody waits for the answer any more"));
            }
        }
        Ok(())
    }
}

/// Does `work` with this patience, or for as long as it takes.
pub fn patiently<T>(patience: Option<Patience>, work: impl FnOnce() -> T) -> T {
    /// Also when the work panics: the thread goes on with other work.
    struct Before(Option<Patience>);
    impl Drop for Before {
        fn drop(&mut self) {
            PATIENCE.set(self.0.take());
        }
    }
    let _before = Before(PATIENCE.replace(patience));
    work()
}

/// What work asks that can take long, every some thousand rows: an error if it is to be given up.
pub fn go_on() -> Result<()> {
    PATIENCE.with_borrow(|patience| patience.as_ref().map_or(Ok(()), Patience::check))
}

fn panicked() -> Error {
    Error::new(ErrorKind::Io, "panic", "a thread panicked")
}

/// Has `work` done on all `pieces` by this thread and as many others as make `threads`, each of which takes the next piece when it is
/// done with one. The outcomes come in no particular order. Where the system gives no thread, there is one less.
pub fn spread<P: Sync, T: Send>(
    pieces: &[P],
    threads: usize,
    work: impl Fn(&P) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let next = AtomicUsize::new(0);
    let run = || {
        let mut done = Vec::new();
        while let Some(piece) = pieces.get(next.fetch_add(1, Relaxed)) {
            done.push(work(piece)?);
        }
        Ok(done)
    };
    let patience = PATIENCE.with_borrow(Clone::clone);
    std::thread::scope(|scope| {
        let begin = |_| {
            let patience = patience.clone();
            std::thread::Builder::new().spawn_scoped(scope, move || patiently(patience, run)).ok()
        };
        let others: Vec<_> = (1..threads.min(pieces.len())).filter_map(begin).collect();
        let mut outcomes = vec![run()];
        outcomes.extend(others.into_iter().map(|other| other.join().unwrap_or_else(|_| Err(panicked()))));
        let mut all = Vec::with_capacity(pieces.len());
        for outcome in outcomes {
            all.extend(outcome?);
        }
        Ok(all)
    })
}

/// Does two things, at the same time if there may be two threads. If both fail, the error is the second's.
pub fn both<A: Send, B>(
    threads: usize,
    first: impl FnOnce() -> Result<A> + Send,
    second: impl FnOnce() -> Result<B>,
) -> Result<(A, B)> {
    if threads < 2 {
        let first = first()?;
        return Ok((first, second()?));
    }
    std::thread::scope(|scope| {
        let first = scope.spawn(first);
        let second = second();
        let first = first.join().unwrap_or_else(|_| Err(panicked()));
        second.and_then(|second| Ok((first?, second)))
    })
}

/// Takes pieces from `next`, has `work` done on them by `threads` threads, and calls `each` with the outcomes in order. The pieces
/// are dealt to the threads in turn and collected in the same turn: the order needs no numbers, and a slow piece holds the others
/// up instead of letting their outcomes pile up. For each thread `ahead` pieces may wait: more where one sometimes takes long to come.
pub fn in_order<P: Send, T: Send>(
    next: impl FnMut() -> Result<Option<P>> + Send,
    threads: usize,
    ahead: usize,
    work: impl Fn(P) -> T + Sync,
    mut each: impl FnMut(T) -> Result<()>,
) -> Result<()> {
    crossbeam::thread::scope(|scope| {
        let (mut hands, mut worked) = (Vec::new(), Vec::new());
        for _ in 0..threads.max(1) {
            let (hand, pieces) = bounded::<P>(ahead);
            let (done, outcomes) = bounded::<T>(2);
            hands.push(hand);
            worked.push(outcomes);
            let work = &work;
            scope.spawn(move |_| pieces.into_iter().map(work).all(|outcome| done.send(outcome).is_ok()));
        }
        let dealer = scope.spawn(move |_| deal(next, &hands));
        let done = collect(&worked, &mut each);
        drop(worked);
        let dealt = dealer.join().unwrap_or_else(|_| Err(panicked()));
        done.and(dealt)
    })
    .unwrap_or_else(|_| Err(panicked()))
}

/// Gives each of `hands` a piece in turn, until there are none or nobody takes them any more.
fn deal<P>(mut next: impl FnMut() -> Result<Option<P>>, hands: &[Sender<P>]) -> Result<()> {
    for hand in hands.iter().cycle() {
        let Some(piece) = next()? else { break };
        if hand.send(piece).is_err() {
            break;
        }
    }
    Ok(())
}

/// Takes from each of `worked` in turn. The first that has ended is where dealing ended.
fn collect<T>(worked: &[Receiver<T>], each: &mut impl FnMut(T) -> Result<()>) -> Result<()> {
    for outcomes in worked.iter().cycle() {
        match outcomes.recv() {
            Ok(outcome) => each(outcome)?,
            Err(_) => break,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_is_worked_on_once_and_an_error_is_told() {
        let pieces: Vec<usize> = (0..1000).collect();
        for threads in [0, 1, 3] {
            let mut done = spread(&pieces, threads, |piece| Ok(*piece)).unwrap();
            done.sort_unstable();
            assert_eq!(done, pieces);
            let odd = |piece: &usize| if *piece == 999 { Err(panicked()) } else { Ok(()) };
            assert_eq!(spread(&pieces, threads, odd).unwrap_err().code(), "panic");
        }
    }

    #[test]
    fn patience_ends_on_all_threads_and_is_forgotten_behind_its_work() {
        let awaited = Arc::new(std::sync::atomic::AtomicBool::new(true));
        let asks = Arc::clone(&awaited);
        let patience = Patience::new(Duration::from_secs(600), move || asks.load(Relaxed));
        let work = || spread(&[0; 64], 2, |_| go_on()).map(drop);
        patiently(Some(patience.clone()), work).unwrap();
        awaited.store(false, Relaxed);
        std::thread::sleep(Duration::from_millis(2 * ASK));
        assert_eq!(patiently(Some(patience), work).unwrap_err().code(), "gone");
        let none = Patience::new(Duration::ZERO, || true);
        assert_eq!(patiently(Some(none.clone()), work).unwrap_err().code(), "too_long");
        let ended = |_: &i32| {
            std::thread::sleep(Duration::from_millis(1));
            Ok(go_on().is_err())
        };
        let on_all = || spread(&[0; 64], 2, ended);
        assert_eq!(patiently(Some(none.clone()), on_all).unwrap(), [true; 64]);
        patiently(Some(none.clone()), || patiently(None, work)).unwrap();
        let toil = std::panic::AssertUnwindSafe(|| patiently(Some(none), || panic!("asked for")));
        let panicked = std::panic::catch_unwind(toil);
        assert!(panicked.is_err());
        work().unwrap();
    }

    #[test]
    fn both_are_done_and_an_error_of_either_is_told() {
        for threads in [1, 2] {
            assert_eq!(both(threads, || Ok(1), || Ok('b')).unwrap(), (1, 'b'));
            let first: Result<((), ())> = both(threads, || Err(panicked()), || Ok(()));
            let second: Result<((), ())> = both(threads, || Ok(()), || Err(panicked()));
            assert_eq!((first.unwrap_err().code(), second.unwrap_err().code()), ("panic", "panic"));
        }
    }

    #[test]
    fn one_slow_piece_does_not_let_the_others_pile_up() {
        let taken = AtomicUsize::new(0);
        let mut source = 0..1000;
        let next = || {
            taken.fetch_add(1, Relaxed);
            Ok(source.next())
        };
        let work = |piece: i32| {
            if piece == 0 {
                std::thread::sleep(Duration::from_millis(300));
                assert!(taken.load(Relaxed) < 20, "{taken:?} pieces were taken ahead");
            }
            piece
        };
        let mut order = Vec::new();
        in_order(next, 3, 1, work, |piece| {
            order.push(piece);
            Ok(())
        })
        .unwrap();
        assert_eq!(order, (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn a_panic_at_work_is_an_error_and_not_the_end() {
        let mut source = 0..10;
        let work = |piece: i32| if piece == 5 { panic!("on purpose") } else { piece };
        let mut last = -1;
        let outcome = in_order(
            move || Ok(source.next()),
            2,
            1,
            work,
            |piece| {
                last = piece;
                Ok(())
            },
        );
        assert_eq!((last, outcome.unwrap_err().code()), (4, "panic"));
    }
}
