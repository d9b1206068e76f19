//! The interface by which `gdb` and `lldb` learn of code made at run time: a list of symbol files in memory that the
//! debugger reads, and a function that is called whenever the list changes, where the debugger has a breakpoint.
//!
//! Both are found by their names, which other runtimes in the same process use, too. So ours are weak: with another
//! definition there is one list for all, as the interface means it.

use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::native::Native;
use super::symbol_file;

/// `jit_code_entry`: a file in the list.
#[derive(Debug)]
#[repr(C)]
struct Entry {
    next: *mut Entry,
    previous: *mut Entry,
    file: *const u8,
    file_len: u64,
}

/// `jit_descriptor`: the list, and what has just happened to it.
#[repr(C)]
struct Descriptor {
    version: u32,
    action: u32,
    relevant: *mut Entry,
    first: *mut Entry,
}

const NO_ACTION: u32 = 0;
const REGISTER: u32 = 1;
const UNREGISTER: u32 = 2;

core::arch::global_asm!(
    ".pushsection .text.__jit_debug_register_code,\"ax\",@progbits",
    ".weak __jit_debug_register_code",
    ".type __jit_debug_register_code,@function",
    ".p2align 4",
    "__jit_debug_register_code:",
    "nop",
    "ret",
    ".size __jit_debug_register_code, . - __jit_debug_register_code",
    ".popsection",
    ".pushsection .data.__jit_debug_descriptor,\"aw\",@progbits",
    ".weak __jit_debug_descriptor",
    ".type __jit_debug_descriptor,@object",
    ".p2align 3",
    "__jit_debug_descriptor:",
    // The version, then nothing yet.
    ".4byte 1",
    ".4byte 0",
    ".8byte 0",
    ".8byte 0",
    ".size __jit_debug_descriptor, . - __jit_debug_descriptor",
    ".popsection",
);

unsafe extern "C" {
    static mut __jit_debug_descriptor: Descriptor;
    fn __jit_debug_register_code();
}

/// A symbol file that the debugger knows of. Dropped, it forgets it.
#[derive(Debug)]
pub(crate) struct Registered {
    /// From a box.
    entry: *mut Entry,
    _file: Box<[u8]>,
}

// SAFETY: the entry is reached under the lock alone, but for the debugger, for which the process is stopped.
unsafe impl Send for Registered {}
// SAFETY: as above; nothing can be done with a shared reference.
unsafe impl Sync for Registered {}

/// Whoever changes the list holds this.
fn lock() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells the debugger, there or yet to come, of functions.
pub(super) fn register(natives: &[Native<'_>]) -> Option<Registered> {
    let file = symbol_file::write(natives)?.into_boxed_slice();
    let entry = Box::into_raw(Box::new(Entry {
        next: ptr::null_mut(),
        previous: ptr::null_mut(),
        file: file.as_ptr(),
        file_len: file.len() as u64,
    }));
    let _guard = lock();
    // SAFETY: the lock is held; entries in the list are alive, as they leave it before they are freed.
    unsafe {
        let descriptor = &raw mut __jit_debug_descriptor;
        (*entry).next = (*descriptor).first;
        if let Some(next) = (*entry).next.as_mut() {
            next.previous = entry;
        }
        (*descriptor).first = entry;
        announce(REGISTER, entry);
    }
    Some(Registered { entry, _file: file })
}

/// Has the debugger look.
///
/// # Safety
/// The lock is held, and `entry` is alive.
unsafe fn announce(action: u32, entry: *mut Entry) {
    // SAFETY: only holders of the lock write to the descriptor; the function has no preconditions.
    unsafe {
        let descriptor = &raw mut __jit_debug_descriptor;
        (*descriptor).action = action;
        (*descriptor).relevant = entry;
        __jit_debug_register_code();
        (*descriptor).action = NO_ACTION;
        (*descriptor).relevant = ptr::null_mut();
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let _guard = lock();
        // SAFETY: the lock is held; this entry and its neighbours in the list are alive, and this one is freed when it
        // has left the list and the debugger has been told.
        unsafe {
            let descriptor = &raw mut __jit_debug_descriptor;
            let Entry { next, previous, .. } = *self.entry;
            match previous.as_mut() {
                Some(previous) => previous.next = next,
                None => (*descriptor).first = next,
            }
            if let Some(next) = next.as_mut() {
                next.previous = previous;
            }
            announce(UNREGISTER, self.entry);
            drop(Box::from_raw(self.entry));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::native::tests::sample;
    use super::*;

    /// The files in the list, newest first.
    fn listed() -> Vec<*const u8> {
        let _guard = lock();
        // SAFETY: the lock is held, so the list stands still and its entries are alive.
        unsafe {
            let descriptor = &raw const __jit_debug_descriptor;
            assert_eq!(((*descriptor).version, (*descriptor).action), (1, NO_ACTION));
            let (mut files, mut previous, mut next) = (Vec::new(), ptr::null_mut(), (*descriptor).first);
            while let Some(entry) = next.as_ref() {
                assert_eq!(entry.previous, previous);
                files.push(entry.file);
                (previous, next) = (next, entry.next);
            }
            files
        }
    }

    #[test]
    fn the_list_holds_what_is_registered_whatever_leaves_first() {
        let [a, b, c] = [(); 3].map(|()| register(&sample()).unwrap());
        let file = |registered: &Registered| registered._file.as_ptr();
        let (file_a, file_c) = (file(&a), file(&c));
        assert_eq!(listed(), [file_c, file(&b), file_a]);
        drop(b);
        assert_eq!(listed(), [file_c, file_a]);
        drop(a);
        assert_eq!(listed(), [file_c]);
        drop(c);
        assert!(listed().is_empty());
    }
}
