//! The macros of `millrace-contract`, which re-exports and explains them.
//!
//! Each macro is a function from tokens to tokens in a module of its own, so that tests can read what it says about
//! wrong input without a compiler. What is generated names everything by `::millrace_contract`.

mod attributes;
mod contract;
mod errors;
mod events;
mod fixed;
mod import;
mod storage;
mod types;

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;

fn or_compile_error(result: syn::Result<Tokens>) -> TokenStream {
    result.unwrap_or_else(|error| error.to_compile_error()).into()
}

/// Makes a module a contract: its entry point, and `dispatch`, the function that a frame runs
/// ([`Mock`](https://docs.rs/millrace-contract) takes it as a program).
///
/// - `#[init]` marks the initialiser, whose arguments are the deploy's input. There is exactly one.
/// - `#[call(0x01)]` marks a function that calls reach by that first byte, the selector.
/// - `payable` (`#[init(payable)]`, `#[call(0x01, payable)]`) lets a function take value; others refuse it.
///
/// Arguments are `Decode`: values of fixed length, `&str`, `&[u8]`, `Vec`, `Option`. Results are `Reply`: nothing, what
/// can be encoded, or a `Result` of them whose error becomes a `Revert`. Structures with `#[storage]`, `#[derive(Event)]`
/// and `#[derive(Error)]` inside the module become part of the contract's interface, which `interface` describes on this
/// machine.
#[proc_macro_attribute]
pub fn contract(arguments: TokenStream, item: TokenStream) -> TokenStream {
    or_compile_error(contract::expand(arguments.into(), item.into()).or_else(contract::refused))
}

/// Declares places in storage: each field of a structure is an `Item`, `Map`, `Vector`, `Counter`, `Blob` or `Text`.
///
/// A place lies under its field's name, entries of a map under the name and `/`; `#[key("..")]` names another key or
/// prefix. Names in which places could meet are refused. The places are those of a constant with the structure's name
/// in capitals.
#[proc_macro_attribute]
pub fn storage(arguments: TokenStream, item: TokenStream) -> TokenStream {
    or_compile_error(storage::expand(arguments.into(), item.into()))
}

/// Makes a structure an event: `emit` logs it under its name in snake case, or that of `#[event("name")]`.
#[proc_macro_derive(Event, attributes(event, topic))]
pub fn event(item: TokenStream) -> TokenStream {
    or_compile_error(events::expand(item.into()))
}

/// Makes the variants of an enumeration errors that reach callers by name; `#[error("..")]` adds a text.
#[proc_macro_derive(Error, attributes(error))]
pub fn error(item: TokenStream) -> TokenStream {
    or_compile_error(errors::expand(item.into()))
}

/// Makes a structure of values of fixed length, or an enumeration without fields, a value of fixed length.
#[proc_macro_derive(Fixed)]
pub fn fixed(item: TokenStream) -> TokenStream {
    or_compile_error(fixed::expand(item.into()))
}

/// Makes a module with a client of another contract from its interface: `import!("../token.json")`, or
/// `import!("../token.json" as coin)` for another name of the module. Paths are relative to the package's folder.
#[proc_macro]
pub fn import(arguments: TokenStream) -> TokenStream {
    or_compile_error(import::expand(arguments.into()))
}
