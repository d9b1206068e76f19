//! System calls of the bare host.

use std::io::{self, Write};

use millrace_jit::{Ecall, Flow, Host};

const WRITE: u64 = 64;
const EXIT: u64 = 93;
const EXIT_GROUP: u64 = 94;

const EIO: i64 = 5;
const EBADF: i64 = 9;
const EPIPE: i64 = 32;
const ENOSYS: i64 = 38;

const BUFFER_BYTES: usize = 64 << 10;

/// The most that one `write` takes, as on Linux.
const MAX_WRITE: u64 = 0x7fff_f000;

/// Two outputs and an exit status.
///
/// Writes to descriptor 1 are gathered and go out when the buffer is full, before anything is written to descriptor 2,
/// and at the end. So an error may come back from a later `write`, or from [`BareHost::flush`].
#[derive(Debug)]
pub struct BareHost<Out: Write, Err: Write> {
    out: Out,
    err: Err,
    buffer: Vec<u8>,
    capacity: usize,
    exit_status: Option<u8>,
}

impl<Out: Write, Err: Write> BareHost<Out, Err> {
    /// A host whose descriptors 1 and 2 are `out` and `err`. With `interactive`, nothing is gathered.
    pub fn new(out: Out, err: Err, interactive: bool) -> Self {
        let capacity = if interactive { 0 } else { BUFFER_BYTES };
        Self {
            out,
            err,
            buffer: Vec::with_capacity(capacity),
            capacity,
            exit_status: None,
        }
    }

    /// What the guest exited with, once it has: the low 8 bits of its argument.
    pub fn exit_status(&self) -> Option<u8> {
        self.exit_status
    }

    /// Hands on what is still gathered.
    ///
    /// # Errors
    /// When the output cannot be written; what was gathered is dropped.
    pub fn flush(&mut self) -> io::Result<()> {
        let written = self.out.write_all(&self.buffer);
        self.buffer.clear();
        written.and_then(|()| self.out.flush())
    }

    fn write(&mut self, descriptor: u64, bytes: &[u8]) -> io::Result<()> {
        if descriptor == 2 {
            self.flush()?;
            self.err.write_all(bytes)?;
            return self.err.flush();
        }
        if self.buffer.len() + bytes.len() > self.capacity {
            self.flush()?;
        }
        if bytes.len() > self.capacity {
            self.out.write_all(bytes)?;
            return self.out.flush();
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }
}

impl<Out: Write, Err: Write> Host for BareHost<Out, Err> {
    fn ecall(&mut self, call: &mut Ecall<'_>) -> Flow {
        let [descriptor, pointer, len, ..] = call.args;
        let result = match call.number {
            WRITE if matches!(descriptor, 1 | 2) => {
                let len = len.min(MAX_WRITE);
                match call.memory.read(pointer, len) {
                    Ok(bytes) => match self.write(descriptor, bytes) {
                        Ok(()) => len.cast_signed(),
                        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => -EPIPE,
                        Err(error) => -error.raw_os_error().map_or(EIO, i64::from),
                    },
                    Err(kind) => return Flow::Trap(kind),
                }
            }
            WRITE => -EBADF,
            EXIT | EXIT_GROUP => {
                self.exit_status = Some((descriptor & 0xff) as u8);
                return Flow::Return;
            }
            _ => -ENOSYS,
        };
        call.results[0] = result.cast_unsigned();
        Flow::Continue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn output_is_gathered_until_something_needs_the_order() {
        let mut host = BareHost::new(Vec::new(), Vec::new(), false);
        host.write(1, b"one ").expect("a vector takes everything");
        assert_eq!(host.out, b"", "still gathered");
        host.write(2, b"error").expect("a vector takes everything");
        assert_eq!(
            (host.out.as_slice(), host.err.as_slice()),
            (&b"one "[..], &b"error"[..])
        );
        host.write(1, b"two").expect("a vector takes everything");
        host.write(1, &[b'x'; BUFFER_BYTES + 1])
            .expect("a vector takes everything");
        assert_eq!(
            host.out.len(),
            7 + BUFFER_BYTES + 1,
            "large writes pass the buffer, in order"
        );
        assert_eq!(&host.out[..8], b"one twox");
    }

    #[test]
    fn a_closed_pipe_comes_back_from_the_write_that_meets_it() {
        let mut host = BareHost::new(Closed, Vec::new(), false);
        host.write(1, b"gathered").expect("nothing went out yet");
        let error = host.write(2, b"x").expect_err("the pipe is closed");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        host.flush().expect("what could not be written was dropped");
    }
}
