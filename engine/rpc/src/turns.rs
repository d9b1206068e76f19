//! Turns at what few may do at once. Whoever waits gets one before another gets a second: however many calls a caller sends,
//! the next caller waits for no more than one of each who waits.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::callers::Party;

/// Turns, and who waits for them.
pub(crate) struct Turns {
    state: Mutex<State>,
}

struct State {
    /// None are free while somebody waits.
    free: usize,
    waiting: BTreeMap<Option<Party>, VecDeque<oneshot::Sender<Turn>>>,
    /// Who waits, in the order in which they come next.
    next: VecDeque<Option<Party>>,
    /// Calls that wait, those included whose callers have gone away since those were looked for.
    calls: usize,
    /// With so many they are looked for.
    look_at: usize,
}

/// So many calls may wait before those are looked for whose callers have gone away.
const LEAST_LOOK: usize = 1_024;

impl State {
    fn push(&mut self, party: Option<Party>, sender: oneshot::Sender<Turn>) {
        if self.calls >= self.look_at {
            self.forget_gone();
        }
        self.calls += 1;
        let own = self.waiting.entry(party).or_default();
        own.push_back(sender);
        if own.len() == 1 {
            self.next.push_back(party);
        }
    }

    fn forget_gone(&mut self) {
        self.waiting.retain(|_, own| {
            own.retain(|sender| !sender.is_closed());
            !own.is_empty()
        });
        self.next.retain(|party| self.waiting.contains_key(party));
        self.calls = self.waiting.values().map(VecDeque::len).sum();
        self.look_at = (self.calls * 2).max(LEAST_LOOK);
    }
}

/// A turn, until it is dropped.
pub(crate) struct Turn {
    turns: Option<Arc<Turns>>,
}

impl Turns {
    pub(crate) fn new(at_once: usize) -> Arc<Self> {
        let state = State {
            free: at_once,
            waiting: BTreeMap::new(),
            next: VecDeque::new(),
            calls: 0,
            look_at: LEAST_LOOK,
        };
        Arc::new(Self {
            state: Mutex::new(state),
        })
    }

    /// Waits for a turn. Who does not go on waiting gives up its place.
    pub(crate) async fn take(self: &Arc<Self>, party: Option<Party>) -> Turn {
        let (sender, receiver) = oneshot::channel();
        {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.free > 0 {
                state.free -= 1;
                let turns = Some(Arc::clone(self));
                return Turn { turns };
            }
            state.push(party, sender);
        }
        receiver.await.expect("whoever waits is given a turn in the end")
    }

    /// Gives a turn to whoever comes next.
    fn hand_on(self: Arc<Self>) {
        let mut turn = Turn { turns: Some(self) };
        while let Some(turns) = turn.turns.as_ref() {
            let Some(next) = turns.next() else {
                turn.turns = None;
                return;
            };
            match next.send(turn) {
                Ok(()) => return,
                // Gone away. Not dropped: that would hand it on from within.
                Err(given_back) => turn = given_back,
            }
        }
    }

    /// Who comes next; if nobody does, the turn is free.
    fn next(&self) -> Option<oneshot::Sender<Turn>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State {
            free,
            waiting,
            next,
            calls,
            ..
        } = &mut *state;
        let Some(party) = next.pop_front() else {
            *free += 1;
            return None;
        };
        let own = waiting.get_mut(&party).expect("who comes next waits");
        let sender = own.pop_front().expect("who comes next waits");
        *calls -= 1;
        if own.is_empty() {
            waiting.remove(&party);
        } else {
            next.push_back(party);
        }
        Some(sender)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(turns) = self.turns.take() {
            turns.hand_on();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};

    use super::*;

    type Waiting = Pin<Box<dyn Future<Output = Turn>>>;

    fn poll(waiting: &mut Waiting) -> Option<Turn> {
        match waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(turn) => Some(turn),
            Poll::Pending => None,
        }
    }

    fn wait(turns: &Arc<Turns>, party: u64) -> Waiting {
        let turns = Arc::clone(turns);
        let mut waiting: Waiting = Box::pin(async move { turns.take(Some(Party::Connection(party))).await });
        assert!(poll(&mut waiting).is_none());
        waiting
    }

    fn take(turns: &Arc<Turns>) -> Turn {
        match pin!(turns.take(None)).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(turn) => turn,
            Poll::Pending => panic!("a turn is free"),
        }
    }

    #[test]
    fn who_asks_once_waits_for_one_of_who_asks_often() {
        let turns = Turns::new(1);
        let turn = take(&turns);
        let mut many: Vec<Waiting> = (0..1_000).map(|_| wait(&turns, 1)).collect();
        let mut one = wait(&turns, 2);
        drop(turn);
        let turn = poll(&mut many[0]).expect("the first is first");
        assert!(poll(&mut one).is_none());
        drop(turn);
        let turn = poll(&mut one).expect("then the other");
        assert!(poll(&mut many[1]).is_none());
        drop(turn);
        assert!(poll(&mut many[1]).is_some());
    }

    #[test]
    fn who_has_gone_away_is_passed_by_and_every_turn_comes_back() {
        let turns = Turns::new(2);
        let both = (take(&turns), take(&turns));
        // Many, because each could be handed it by the one before.
        let gone: Vec<Waiting> = (0..100_000).map(|n| wait(&turns, n)).collect();
        drop(gone);
        let mut last = wait(&turns, 7);
        assert!(turns.state.lock().unwrap().calls <= 100_001);
        drop(both);
        drop(poll(&mut last).expect("a turn"));
        let _both = (take(&turns), take(&turns));
        let state = turns.state.lock().unwrap();
        assert!(state.free == 0 && state.waiting.is_empty() && state.next.is_empty());
    }

    #[test]
    fn who_asks_and_goes_away_again_and_again_is_not_remembered() {
        let turns = Turns::new(1);
        let _turn = take(&turns);
        let staying = wait(&turns, 0);
        for n in 0..100_000 {
            drop(wait(&turns, 1 + n));
        }
        let state = turns.state.lock().unwrap();
        assert!(state.calls <= LEAST_LOOK && state.waiting.len() <= LEAST_LOOK);
        assert!(state.waiting.contains_key(&Some(Party::Connection(0))));
        drop(staying);
    }

    #[test]
    fn a_turn_that_was_given_and_not_fetched_is_handed_on() {
        let turns = Turns::new(1);
        let turn = take(&turns);
        let given = wait(&turns, 1);
        drop(turn);
        drop(given);
        drop(take(&turns));
    }
}
