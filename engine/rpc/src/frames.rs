//! Counts the messages of a WebSocket as its bytes pass by (RFC 6455, 5.2), without looking into them.
//!
//! The bytes before are a head of HTTP, which ends with its first empty line. Whoever speaks HTTP goes on with something
//! else than frames; nobody asks then.

/// One direction of a connection, from its first byte.
#[derive(Default)]
pub(crate) struct Frames {
    stage: Stage,
}

/// Messages that ended within some bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Counted {
    /// So many.
    pub(crate) messages: u64,
    /// Bytes of data frames, heads included.
    pub(crate) bytes: u64,
}

#[derive(Clone, Copy, Default)]
enum Stage {
    /// Empty lines before the head.
    #[default]
    Before,
    /// Within the head.
    Head {
        /// Nothing in this line so far.
        empty: bool,
    },
    /// Within the head of a frame.
    Frame(Head),
    /// Within what a frame carries.
    Payload { left: u64, is_data: bool, is_last: bool },
}

/// What is known of a frame's head.
#[derive(Clone, Copy, Default)]
struct Head {
    first: u8,
    /// Bytes of it that came.
    have: u8,
    /// Bytes of the length, and then of the mask, that are still to come.
    length_left: u8,
    mask_left: u8,
    length: u64,
}

/// A message is as long as its length says; more than this is no frame that anybody takes.
const ABSURD: u64 = u64::MAX >> 1;

impl Frames {
    /// Whether the head of HTTP is behind.
    pub(crate) fn has_begun(&self) -> bool {
        matches!(self.stage, Stage::Frame(_) | Stage::Payload { .. })
    }

    /// Counts what ends within the next bytes.
    pub(crate) fn pass(&mut self, mut bytes: &[u8]) -> Counted {
        let mut counted = Counted::default();
        while let Some((&byte, rest)) = bytes.split_first() {
            match &mut self.stage {
                Stage::Before => {
                    if !matches!(byte, b'\r' | b'\n') {
                        self.stage = Stage::Head { empty: false };
                    }
                    bytes = rest;
                }
                Stage::Head { empty } => {
                    match byte {
                        b'\n' if *empty => self.stage = Stage::Frame(Head::default()),
                        b'\n' => *empty = true,
                        b'\r' if *empty => {}
                        _ => *empty = false,
                    }
                    bytes = rest;
                }
                Stage::Frame(head) => {
                    if head.take(byte) {
                        let (is_data, is_last) = (head.first & 0x08 == 0, head.first & 0x80 != 0);
                        if is_data {
                            counted.bytes += u64::from(head.have);
                        }
                        let left = head.length.min(ABSURD);
                        self.stage = Stage::Payload {
                            left,
                            is_data,
                            is_last,
                        };
                        self.end_frame(&mut counted);
                    }
                    bytes = rest;
                }
                Stage::Payload { left, is_data, .. } => {
                    let passing = (bytes.len() as u64).min(*left);
                    *left -= passing;
                    if *is_data {
                        counted.bytes += passing;
                    }
                    bytes = &bytes[usize::try_from(passing).expect("as many as there are")..];
                    self.end_frame(&mut counted);
                }
            }
        }
        counted
    }

    /// If nothing is left of a frame, the next one begins.
    fn end_frame(&mut self, counted: &mut Counted) {
        if let Stage::Payload {
            left: 0,
            is_data,
            is_last,
        } = self.stage
        {
            counted.messages += u64::from(is_data && is_last);
            self.stage = Stage::Frame(Head::default());
        }
    }
}

impl Head {
    /// Takes the next byte; whether it was the last.
    fn take(&mut self, byte: u8) -> bool {
        self.have += 1;
        match self.have {
            1 => self.first = byte,
            2 => {
                self.mask_left = if byte & 0x80 == 0 { 0 } else { 4 };
                match byte & 0x7f {
                    126 => self.length_left = 2,
                    127 => self.length_left = 8,
                    length => self.length = length.into(),
                }
            }
            _ if self.length_left > 0 => {
                self.length = self.length << 8 | u64::from(byte);
                self.length_left -= 1;
            }
            _ => self.mask_left -= 1,
        }
        self.have >= 2 && self.length_left == 0 && self.mask_left == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"\r\nGET / HTTP/1.1\r\nhost: here\r\n\r\n";

    /// A frame: masked as a client's or not, its length in the least bytes.
    fn frame(first: u8, payload: usize, is_masked: bool) -> Vec<u8> {
        let masked = if is_masked { 0x80 } else { 0 };
        let mut frame = vec![first];
        match payload {
            0..126 => frame.push(masked | u8::try_from(payload).unwrap()),
            126..65_536 => {
                frame.push(masked | 126);
                frame.extend(u16::try_from(payload).unwrap().to_be_bytes());
            }
            _ => {
                frame.push(masked | 127);
                frame.extend((payload as u64).to_be_bytes());
            }
        }
        if is_masked {
            frame.extend([1, 2, 3, 4]);
        }
        frame.resize(frame.len() + payload, 0x0a);
        frame
    }

    fn add(sum: Counted, more: Counted) -> Counted {
        Counted {
            messages: sum.messages + more.messages,
            bytes: sum.bytes + more.bytes,
        }
    }

    #[test]
    fn messages_are_counted_however_the_bytes_come() {
        for is_masked in [true, false] {
            let frames = [
                frame(0x81, 0, is_masked),
                frame(0x82, 125, is_masked),
                // In parts, with a ping between them.
                frame(0x01, 126, is_masked),
                frame(0x89, 4, is_masked),
                frame(0x00, 70_000, is_masked),
                frame(0x80, 1, is_masked),
                frame(0x8a, 125, is_masked),
                frame(0x81, 65_535, is_masked),
            ];
            let data = frames.iter().filter(|frame| frame[0] & 0x08 == 0);
            let expected = Counted {
                messages: 4,
                bytes: data.map(|frame| frame.len() as u64).sum(),
            };
            let all = [HEAD, &frames.concat()].concat();
            for size in [1, 2, 3, 7, 8_192, all.len()] {
                let mut passing = Frames::default();
                let counted = all.chunks(size).map(|chunk| passing.pass(chunk));
                assert_eq!(counted.fold(Counted::default(), add), expected, "by {size}");
            }
        }
    }

    #[test]
    fn a_head_ends_with_its_first_empty_line() {
        for (head, has_begun) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], true),
            (b"GET / HTTP/1.1\n\n", true),
            (b"GET / HTTP/1.1\n\r\n", true),
            (b"\r\n\r\n\n\nGET / HTTP/1.1\r\n\r\n", true),
            (b"GET / HTTP/1.1\r\na: b\r\n", false),
            (b"\r\n\r\n", false),
        ] {
            let mut frames = Frames::default();
            assert_eq!(frames.pass(head), Counted::default());
            assert_eq!(frames.has_begun(), has_begun, "{}", head.escape_ascii());
        }
    }

    #[test]
    fn no_length_is_too_long() {
        let mut frames = Frames::default();
        frames.pass(HEAD);
        frames.pass(&[0x81, 0xff]);
        frames.pass(&[0xff; 12]);
        assert_eq!(frames.pass(&[0; 100_000]).messages, 0);
    }
}
