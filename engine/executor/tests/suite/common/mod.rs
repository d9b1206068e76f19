//! What the tests share: a contract that performs any script of host calls, and a chain of one account book.

pub mod guest;
pub mod script;
pub mod traced;
pub mod world;

pub use guest::{SCRATCH, elf, elf_of, elf_with_constants};
pub use script::{Answers, Script};
pub use world::{World, key, result_of};
