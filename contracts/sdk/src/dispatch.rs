//! From the entry point to a contract's function.
//!
//! A frame that initialises a new contract decodes its whole input as `init`'s arguments. Every other frame takes
//! the input's first byte as a selector and the rest as that function's arguments. Functions refuse value that
//! comes with a call unless they are marked `payable`, so that nothing is locked up by mistake.

use alloc::vec::Vec;
use core::mem::MaybeUninit;

use crate::encoding::{Reader, Reply};
use crate::{Revert, host};

/// Inputs up to this length are read without touching the heap, in bytes.
const INLINE_BYTES: usize = 256;

/// The frame's input.
pub struct Input {
    inline: [MaybeUninit<u8>; INLINE_BYTES],
    length: usize,
    heap: Option<Vec<u8>>,
}

impl Input {
    /// Fetches the whole input from the host.
    #[must_use]
    pub fn load() -> Self {
        let length = host::input_len();
        let mut inline = [const { MaybeUninit::uninit() }; INLINE_BYTES];
        if length <= INLINE_BYTES {
            let copied = host::input_read_uninit(&mut inline, 0);
            return Self {
                inline,
                length: copied,
                heap: None,
            };
        }
        let mut heap = Vec::with_capacity(length);
        let copied = host::input_read_uninit(&mut heap.spare_capacity_mut()[..length], 0);
        // SAFETY: the host wrote the first `copied` bytes of the spare capacity, which starts at the vector's start.
        unsafe { heap.set_len(copied) };
        Self {
            inline,
            length: copied,
            heap: Some(heap),
        }
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match &self.heap {
            Some(bytes) => bytes,
            // SAFETY: `load` had the host write the first `length` bytes of `inline`, which never change after.
            None => unsafe { self.inline[..self.length].assume_init_ref() },
        }
    }

    /// Takes arguments from it.
    #[must_use]
    pub fn reader(&self) -> Reader<'_> {
        Reader::new(self.bytes())
    }
}

/// The value, or the end of the frame.
#[inline]
pub fn or_revert<T>(result: Result<T, Revert>) -> T {
    match result {
        Ok(value) => value,
        Err(revert) => revert.end_frame(),
    }
}

/// Ends the frame if value came with the call.
pub fn refuse_value() {
    if host::value() != 0 {
        host::revert(b"this function takes no value");
    }
}

/// Ends the frame with a function's result, whose success is a `T`.
pub fn reply<T>(result: impl Reply<Output = T>) -> ! {
    result.reply()
}

/// Lists a contract's functions and makes its entry point.
///
/// `init => function(argument: Type, ..)` names the initialiser, and each line
/// `SELECTOR => function(argument: Type, ..)` a function that calls reach by that first byte. `payable` before a
/// function's name lets it take value. `-> Type` is the type of its success, `()` unless given. Arguments are
/// [`Decode`](crate::encoding::Decode), results [`Reply`].
///
/// Makes `dispatch`, the function that a frame runs ([`Mock`](crate::mock) takes it as a program), and the
/// program's entry point.
#[macro_export]
macro_rules! contract {
    (
        init => $($init:ident)+ ( $($init_argument:ident : $init_type:ty),* $(,)? );
        $($selector:literal => $($function:ident)+ ( $($argument:ident : $type:ty),* $(,)? ) $(-> $result:ty)? ;)*
    ) => {
        /// Runs one frame of this contract to its end.
        fn dispatch() -> ! {
            let input = $crate::dispatch::Input::load();
            let mut reader = input.reader();
            if $crate::host::is_initialising() {
                $crate::contract!(@enter reader () [$($init)+] $($init_argument: $init_type),*)
            }
            match $crate::dispatch::or_revert(reader.read::<u8>()) {
                $($selector => {
                    $crate::contract!(@enter reader ($($result)?) [$($function)+] $($argument: $type),*)
                })*
                _ => $crate::host::revert(b"unknown selector"),
            }
        }

        #[cfg(target_os = "none")]
        #[unsafe(no_mangle)]
        extern "C" fn _start() -> ! {
            dispatch()
        }

        #[cfg(not(target_os = "none"))]
        #[allow(dead_code)]
        fn main() {
            $crate::mock::explain(dispatch);
        }
    };
    (@enter $reader:ident ($($result:ty)?) [payable $function:ident] $($argument:ident : $type:ty),*) => {{
        $(let $argument: $type = $crate::dispatch::or_revert($reader.read());)*
        $crate::dispatch::or_revert($reader.finish());
        $crate::dispatch::reply::<$crate::contract!(@type $($result)?)>($function($($argument),*))
    }};
    (@enter $reader:ident ($($result:ty)?) [$function:ident] $($argument:ident : $type:ty),*) => {{
        $crate::dispatch::refuse_value();
        $crate::contract!(@enter $reader ($($result)?) [payable $function] $($argument: $type),*)
    }};
    (@type) => { () };
    (@type $result:ty) => { $result };
}
