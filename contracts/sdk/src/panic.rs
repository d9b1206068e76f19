//! A panic reverts with its message and place.

use core::fmt::{self, Write};
#[cfg(target_os = "none")]
use core::panic::PanicInfo;

#[cfg(target_os = "none")]
use crate::host;

/// Messages are cut at this length, in bytes.
const MESSAGE_BYTES: usize = 256;

/// Keeps the first bytes of what is written, as far as they are whole characters: a revert's output is text.
struct Message {
    bytes: [u8; MESSAGE_BYTES],
    length: usize,
}

impl Write for Message {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = &mut self.bytes[self.length..];
        let mut count = room.len().min(text.len());
        while !text.is_char_boundary(count) {
            count -= 1;
        }
        room[..count].copy_from_slice(&text.as_bytes()[..count]);
        self.length += count;
        if count < text.len() {
            Err(fmt::Error)
        } else {
            Ok(())
        }
    }
}

#[cfg(target_os = "none")]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_cut_between_characters() {
        for before in 0..4 {
            let mut message = Message {
                bytes: [0; MESSAGE_BYTES],
                length: 0,
            };
            let text = "-".repeat(before) + &"\u{1f480}".repeat(MESSAGE_BYTES);
            assert!(message.write_str(&text).is_err(), "it does not fit");
            let kept = core::str::from_utf8(&message.bytes[..message.length]).expect("whole characters");
            assert!(
                text.starts_with(kept) && kept.len() > MESSAGE_BYTES - 4,
                "{}",
                kept.len()
            );
        }
    }
}
