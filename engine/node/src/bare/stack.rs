//! What a program finds on its stack: argc, argv, an empty environment, an empty auxiliary vector, as under Linux.
//!
//! From sp upwards, in 8-byte words: argc, the arguments' addresses, 0, 0 (end of the environment), 0 0 (`AT_NULL`);
//! then the strings with their terminating zeros up to the stack's top. sp is 16-aligned.

use millrace_jit::{Instance, Machine};

/// The part of the stack that arguments may take, as on Linux.
const STACK_SHARE: usize = 4;

/// Why the arguments were refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum StackError {
    /// They would take too much of the stack.
    #[error(
        "the program's name and arguments need {needed} bytes of stack, the limit is {limit}: pass fewer or shorter ones"
    )]
    TooLong {
        /// Bytes needed.
        needed: usize,
        /// Bytes that may be used.
        limit: usize,
    },
}

/// Writes the program's name and arguments (`words`, in this order) onto the stack of `instance` and sets sp.
///
/// # Errors
/// When they do not fit in a quarter of the stack.
pub fn lay_out_stack(instance: &mut Instance, machine: &Machine, words: &[&[u8]]) -> Result<(), StackError> {
    let layout = &machine.layout;
    let strings: usize = words.iter().map(|word| word.len() + 1).sum();
    let vector = 8 * (words.len() + 5);
    let (needed, limit) = (
        (vector + strings).next_multiple_of(16),
        layout.stack_bytes as usize / STACK_SHARE,
    );
    if needed > limit {
        return Err(StackError::TooLong { needed, limit });
    }
    let sp = u64::from(layout.stack_top) - needed as u64;
    let block = block(words, u64::from(layout.stack_top) - strings as u64, needed);
    instance
        .memory_mut()
        .write(sp, &block)
        .expect("a quarter of the stack is mapped and writable");
    instance.set_stack_pointer(sp);
    Ok(())
}

/// The `len` bytes below the stack's top; the strings are its last ones and begin at guest address `strings`.
fn block(words: &[&[u8]], mut strings: u64, len: usize) -> Vec<u8> {
    let mut vector = vec![words.len() as u64];
    let mut bytes = Vec::new();
    for word in words {
        vector.push(strings);
        strings += word.len() as u64 + 1;
        bytes.extend_from_slice(word);
        bytes.push(0);
    }
    let mut block: Vec<u8> = vector.into_iter().flat_map(u64::to_le_bytes).collect();
    block.resize(len - bytes.len(), 0);
    block.extend_from_slice(&bytes);
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_lie_behind_the_vector_where_it_points() {
        let (top, len) = (0x8000_u64, 80_usize);
        let block = block(&[b"name", b"", b"x y"], top - 10, len);
        let word =
            |index: usize| u64::from_le_bytes(block[8 * index..8 * index + 8].try_into().expect("8 bytes"));
        let text = |index: usize| {
            let start = (word(index) - (top - len as u64)) as usize;
            block[start..]
                .split(|&byte| byte == 0)
                .next()
                .expect("split gives at least one part")
        };
        assert_eq!((block.len(), word(0)), (len, 3));
        assert_eq!((text(1), text(2), text(3)), (&b"name"[..], &b""[..], &b"x y"[..]));
        assert_eq!(
            [word(4), word(5), word(6), word(7)],
            [0; 4],
            "ends of argv, environment, auxiliary vector"
        );
    }
}
