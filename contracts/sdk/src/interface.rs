//! How a contract's program on this machine describes the contract; what macros fill in.
//!
//! On the chain none of this exists.

use std::collections::BTreeMap;
use std::env;

pub use millrace_contract_interface::*;

use crate::Address;
use crate::encoding::Reply;
use crate::mock::Program;
use crate::storage::{Blob, Counter, Item, Map, Text, Vector};

/// The contract's own types that were named so far, by name.
pub type Definitions = BTreeMap<String, Definition>;

/// Adds a type of the contract's own; what it is called.
///
/// # Panics
/// If another type of the contract has that name already: readers would take the one for the other.
#[must_use]
pub fn define(definitions: &mut Definitions, definition: Definition) -> Type {
    let name = definition.name().to_owned();
    let known = definitions
        .entry(name.clone())
        .or_insert_with(|| definition.clone());
    assert!(
        *known == definition,
        "two types of this contract are named `{name}`: rename one, since the interface knows types by their names"
    );
    Type::Named(name)
}

/// A type that interfaces can name.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no name in a contract's interface",
    label = "a type of one's own gets one by #[derive(Fixed)]"
)]
pub trait Described {
    /// Its name; the definitions that it needs are added.
    fn describe(definitions: &mut Definitions) -> Type;
}

macro_rules! described {
    ($($type:ty => $name:expr;)*) => {$(
        impl Described for $type {
            fn describe(_: &mut Definitions) -> Type {
                $name
            }
        }
    )*};
}

described! {
    u8 => Type::Unsigned(8);
    u16 => Type::Unsigned(16);
    u32 => Type::Unsigned(32);
    u64 => Type::Unsigned(64);
    u128 => Type::Unsigned(128);
    i8 => Type::Signed(8);
    i16 => Type::Signed(16);
    i32 => Type::Signed(32);
    i64 => Type::Signed(64);
    i128 => Type::Signed(128);
    bool => Type::Bool;
    Address => Type::Address;
    str => Type::Str;
    String => Type::Str;
}

impl<const N: usize> Described for [u8; N] {
    fn describe(_: &mut Definitions) -> Type {
        Type::Array(N)
    }
}

impl<T: Described> Described for [T] {
    fn describe(definitions: &mut Definitions) -> Type {
        match T::describe(definitions) {
            Type::Unsigned(8) => Type::Bytes,
            element => Type::Vec(Box::new(element)),
        }
    }
}

impl<T: Described> Described for Vec<T> {
    fn describe(definitions: &mut Definitions) -> Type {
        <[T]>::describe(definitions)
    }
}

impl<T: Described> Described for Option<T> {
    fn describe(definitions: &mut Definitions) -> Type {
        Type::Option(Box::new(T::describe(definitions)))
    }
}

impl<T: Described + ?Sized> Described for &T {
    fn describe(definitions: &mut Definitions) -> Type {
        T::describe(definitions)
    }
}

/// What a success returns: a type, or nothing.
pub trait DescribedOutput {
    /// Its name, or `None` for `()`.
    fn describe_output(definitions: &mut Definitions) -> Option<Type>;
}

impl DescribedOutput for () {
    fn describe_output(_: &mut Definitions) -> Option<Type> {
        None
    }
}

impl<T: Described> DescribedOutput for T {
    fn describe_output(definitions: &mut Definitions) -> Option<Type> {
        Some(T::describe(definitions))
    }
}

/// A field of type `T`.
#[must_use]
pub fn field<T: Described>(name: &str, definitions: &mut Definitions) -> Field {
    Field {
        name: name.into(),
        kind: T::describe(definitions),
    }
}

/// What a success of a function that returns `R` returns.
#[must_use]
pub fn returns<R: Reply>(definitions: &mut Definitions) -> Option<Type>
where
    R::Output: DescribedOutput,
{
    R::Output::describe_output(definitions)
}

/// An event that interfaces list.
pub trait DescribedEvent {
    /// Its name, topics and data.
    fn describe(definitions: &mut Definitions) -> Event;
}

/// Errors that interfaces list.
pub trait DescribedErrors {
    /// Each variant.
    fn describe() -> Vec<Error>;
}

/// Storage that interfaces list.
pub trait DescribedStorage {
    /// Each place.
    fn describe(definitions: &mut Definitions) -> Vec<Place>;
}

/// A kind of place in storage.
pub trait DescribedPlace {
    /// Its kind, what follows its prefix in keys, and what is stored.
    fn describe(definitions: &mut Definitions) -> (PlaceKind, Vec<Type>, Type);
}

/// The place of type `P` with this name and prefix.
#[must_use]
pub fn place<P: DescribedPlace>(name: &str, prefix: &str, definitions: &mut Definitions) -> Place {
    let (kind, key, value) = P::describe(definitions);
    Place {
        name: name.into(),
        kind,
        prefix: prefix.into(),
        key,
        value,
    }
}

impl<T: Described> DescribedPlace for Item<T> {
    fn describe(definitions: &mut Definitions) -> (PlaceKind, Vec<Type>, Type) {
        (PlaceKind::Value, vec![], T::describe(definitions))
    }
}

impl DescribedPlace for Counter {
    fn describe(_: &mut Definitions) -> (PlaceKind, Vec<Type>, Type) {
        (PlaceKind::Counter, vec![], Type::Unsigned(128))
    }
}

impl DescribedPlace for Blob {
    fn describe(_: &mut Definitions) -> (PlaceKind, Vec<Type>, Type) {
        (PlaceKind::Blob, vec![], Type::Bytes)
    }
}

impl DescribedPlace for Text {
    fn describe(_: &mut Definitions) -> (PlaceKind, Vec<Type>, Type) {
        (PlaceKind::Blob, vec![], Type::Str)
    }
}

impl<T: Described> DescribedPlace for Vector<T> {
    fn describe(definitions: &mut Definitions) -> (PlaceKind, Vec<Type>, Type) {
        (
            PlaceKind::Vector,
            vec![Type::Unsigned(32)],
            T::describe(definitions),
        )
    }
}

impl<K: DescribedKey, V: Described> DescribedPlace for Map<K, V> {
    fn describe(definitions: &mut Definitions) -> (PlaceKind, Vec<Type>, Type) {
        (PlaceKind::Map, K::describe(definitions), V::describe(definitions))
    }
}

/// A key of a map.
pub trait DescribedKey {
    /// Its parts.
    fn describe(definitions: &mut Definitions) -> Vec<Type>;
}

impl<K: Described> DescribedKey for K {
    fn describe(definitions: &mut Definitions) -> Vec<Type> {
        vec![K::describe(definitions)]
    }
}

macro_rules! described_tuples {
    ($(($($part:ident),*))*) => {$(
        impl<$($part: Described),*> DescribedKey for ($($part,)*) {
            fn describe(definitions: &mut Definitions) -> Vec<Type> {
                vec![$($part::describe(definitions)),*]
            }
        }
    )*};
}

described_tuples! {
    (A, B)
    (A, B, C)
    (A, B, C, D)
}

/// A contract's program on this machine: writes the interface where `--interface` asks for it, and says what it is else.
pub fn main(_program: Program, interface: fn() -> Interface) {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments == ["--interface"] {
        let interface = interface();
        if let Err(error) = interface.check() {
            eprintln!("the interface of {} contradicts itself: {error}", interface.name);
            std::process::exit(1);
        }
        print!("{}", interface.to_json());
        return;
    }
    eprintln!(
        "This is a contract for a chain, not for this machine: contracts/build.sh builds its ELF file.\n\
         With --interface it prints its functions, events, errors and storage as JSON."
    );
    std::process::exit(2);
}
