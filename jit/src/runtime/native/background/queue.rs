//! What waits for the background thread, hottest first.

use std::sync::Weak;

use crate::image::Program;

/// Most requests that wait.
pub(super) const QUEUE: usize = 256;

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::runtime::native) enum Work {
    /// That batches of an earlier process come back.
    Recall,
    /// That the region at an address is compiled, as code of one kind.
    Compile {
        /// Whether everything is taken to be alive everywhere.
        is_exact: bool,
        /// Guest address.
        pc: u32,
    },
}

/// Something to do for a program, unless that is gone by then.
#[derive(Debug)]
pub(in crate::runtime::native) struct Request {
    pub(in crate::runtime::native) program: Weak<Program>,
    pub(in crate::runtime::native) work: Work,
    /// Jumps to the address so far: what has more goes first.
    pub(in crate::runtime::native) jumps: u16,
}

impl Request {
    fn is_for_the_same(&self, other: &Self) -> bool {
        self.work == other.work && self.program.ptr_eq(&other.program)
    }
}

/// What became of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Added {
    /// It waits.
    Waits,
    /// It waited already, and has as many jumps now as the new one.
    Known,
    /// It waits, and a colder one does not any more.
    Displaced,
    /// It is no hotter than all that wait.
    Full,
}

/// Requests in the order in which they came, which decides between those that are as hot.
#[derive(Debug)]
pub(super) struct Queue(Vec<Request>);

impl Queue {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a request; where there is no room, in the place of the coldest. Takes time by the bound on what waits.
    pub(super) fn add(&mut self, request: Request) -> Added {
        if let Some(known) = self.0.iter_mut().find(|known| known.is_for_the_same(&request)) {
            known.jumps = known.jumps.max(request.jumps);
            return Added::Known;
        }
        let mut added = Added::Waits;
        if self.0.len() >= QUEUE {
            // Of those that are as cold, the one that came last.
            let coldest = (0..self.0.len()).rev().min_by_key(|&index| self.0[index].jumps);
            let Some(coldest) = coldest.filter(|&index| self.0[index].jumps < request.jumps) else {
                return Added::Full;
            };
            self.0.remove(coldest);
            added = Added::Displaced;
        }
        self.0.push(request);
        added
    }

    /// Takes the hottest, of those that are as hot the one that came first.
    pub(super) fn take(&mut self) -> Option<Request> {
        let hottest = (0..self.0.len()).rev().max_by_key(|&index| self.0[index].jumps)?;
        Some(self.0.remove(hottest))
    }
}
