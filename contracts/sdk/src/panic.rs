//! A panic reverts with its message and place.

use core::fmt::{self, Write};
use core::panic::PanicInfo;

use crate::host;

/// Messages are cut at this length, in bytes.
const MESSAGE_BYTES: usize = 256;

/// Keeps the first bytes of what is written.
struct Message {
    bytes: [u8; MESSAGE_BYTES],
    length: usize,
}

impl Write for Message {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = &mut self.bytes[self.length..];
        let count = room.len().min(text.len());
        room[..count].copy_from_slice(&text.as_bytes()[..count]);
        self.length += count;
        if count < text.len() {
            Err(fmt::Error)
        } else {
            Ok(())
        }
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let mut message = Message {
        bytes: [0; MESSAGE_BYTES],
        length: 0,
    };
    // A message that does not fit is cut, which `write!` reports and nobody needs to know.
    let _ = write!(message, "{}", info.message());
    if let Some(location) = info.location() {
        let _ = write!(message, ", at {}:{}", location.file(), location.line());
    }
    host::revert(&message.bytes[..message.length])
}
