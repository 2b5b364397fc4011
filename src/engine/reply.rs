//! The way back from the writer to whoever asked it. A channel would do, but who waits on one first spins and yields, in vain for as
//! long as a sync takes, and dozens who do that at once keep the writer from its processor.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::Outcome;
use crate::error::Result;

type Told = Result<Vec<Outcome>>;

#[derive(Default)]
struct Slot {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
enum State {
    #[default]
    Waiting,
    Told(Told),
    /// Nobody is left who could tell.
    Dropped,
}

impl Slot {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, state: State) {
        *self.state() = state;
        self.changed.notify_one();
    }
}

/// A promise to answer.
pub(crate) fn promise() -> (Reply, Answer) {
    let slot = Arc::new(Slot::default());
    (Reply { slot: Some(Arc::clone(&slot)) }, Answer { slot })
}

/// Where to answer, once. If it is dropped, nobody waits on.
pub(crate) struct Reply {
    slot: Option<Arc<Slot>>,
}

impl Reply {
    /// Answers. Nobody need be there to hear it.
    pub(crate) fn tell(mut self, told: Told) {
        if let Some(slot) = self.slot.take() {
            slot.set(State::Told(told));
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            slot.set(State::Dropped);
        }
    }
}

/// Where the answer comes.
pub(crate) struct Answer {
    slot: Arc<Slot>,
}

impl Answer {
    /// Waits for the answer; an error as well if the writer stopped without one.
    pub(crate) fn wait(self) -> Told {
        let mut state = self.slot.state();
        loop {
            match std::mem::take(&mut *state) {
                State::Waiting => {
                    state = self.slot.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                State::Told(told) => return told,
                State::Dropped => return Err(super::stopped()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_comes_early_late_or_says_that_none_will() {
        let (reply, answer) = promise();
        reply.tell(Ok(vec![Outcome::Stored]));
        assert!(matches!(answer.wait().unwrap()[..], [Outcome::Stored]));
        std::thread::scope(|scope| {
            let (replies, answers): (Vec<_>, Vec<_>) = (0..20).map(|_| promise()).unzip();
            let waiting: Vec<_> = answers.into_iter().map(|answer| scope.spawn(|| answer.wait())).collect();
            for (at, reply) in replies.into_iter().enumerate() {
                if at % 2 == 0 { reply.tell(Ok(Vec::new())) } else { drop(reply) }
            }
            for (at, thread) in waiting.into_iter().enumerate() {
                assert_eq!(thread.join().unwrap().is_ok(), at % 2 == 0);
            }
        });
    }
}
