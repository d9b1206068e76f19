//! Which contract a program is: its module's path, which only the program itself knows.
//!
//! Every `dispatch` that `#[contract]` makes says so first thing when it is asked, and ends.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::world::Program;

thread_local! {
    static IS_ASKED: Cell<bool> = const { Cell::new(false) };
}

struct Identity(&'static str);

/// Says that the program is the contract in the module `path`, if that is what is asked.
#[doc(hidden)]
pub fn identify(path: &'static str) {
    if IS_ASKED.replace(false) {
        resume_unwind(Box::new(Identity(path)));
    }
}

/// The path of the module that `program` is the contract of; `None` if no `#[contract]` made it.
pub fn of(program: Program) -> Option<&'static str> {
    IS_ASKED.set(true);
    let payload = match catch_unwind(AssertUnwindSafe(|| program())) {
        Ok(never) => never,
        Err(payload) => payload,
    };
    IS_ASKED.set(false);
    payload.downcast::<Identity>().ok().map(|identity| identity.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> ! {
        identify("a::made");
        resume_unwind(Box::new("ran"))
    }

    #[test]
    fn a_contract_says_which_it_is_and_others_say_nothing() {
        assert_eq!(of(made), Some("a::made"));
        assert_eq!(of(|| resume_unwind(Box::new("none"))), None);
        // Who is not asked goes on: neither run left a question behind.
        identify("somewhere");
    }
}
