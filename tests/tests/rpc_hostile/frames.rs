//! WebSocket by the byte: what the standard (RFC 6455) allows is answered, what it forbids ends the connection, and half
//! of anything is waited for and forgotten with the connection.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use rand::seq::IndexedRandom as _;
use rand::{Rng as _, RngCore as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::{REQUEST_BYTES, Target, connect};

const CASES: u64 = 1_200;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
const FINAL: u8 = 0x80;

pub fn run(target: &Target) {
    target.withstands(crate::cases(CASES), |seed| {
        let mut peer = Peer {
            stream: open(&target.address),
            chance: ChaCha8Rng::seed_from_u64(seed),
            seed,
            calls: 0,
        };
        for _ in 0..peer.below(4) {
            peer.behave();
        }
        match peer.below(3) {
            0 => peer.break_a_rule(),
            1 => peer.leave_half(),
            _ => peer.rave(),
        }
    });
}

pub fn open(address: &str) -> TcpStream {
    let mut stream = connect(address);
    let head = format!(
        "GET / HTTP/1.1\r\nhost: {address}\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(
        head.starts_with(b"HTTP/1.1 101"),
        "{}",
        String::from_utf8_lossy(&head)
    );
    stream
}

/// A frame as its parts say, whether they fit or not.
pub struct Frame {
    first: u8,
    mask: Option<[u8; 4]>,
    payload: Vec<u8>,
    /// What the head says that the payload's length is, if it is not that.
    claims: Option<u64>,
    /// Bytes that the length takes: 0, 2 or 8 behind the second byte; the least by default.
    width: Option<usize>,
}

impl Frame {
    pub fn of(first: u8, payload: &[u8]) -> Self {
        Self {
            first,
            mask: Some([0x12, 0x34, 0x56, 0x78]),
            payload: payload.to_vec(),
            claims: None,
            width: None,
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let length = self.claims.unwrap_or(self.payload.len() as u64);
        let width = self.width.unwrap_or(match length {
            0..126 => 0,
            126..65_536 => 2,
            _ => 8,
        });
        let masked = if self.mask.is_some() { 0x80 } else { 0 };
        let mut bytes = vec![self.first];
        match width {
            0 => bytes.push(masked | (length & 0x7f) as u8),
            2 => {
                bytes.push(masked | 126);
                bytes.extend((length as u16).to_be_bytes());
            }
            _ => {
                bytes.push(masked | 127);
                bytes.extend(length.to_be_bytes());
            }
        }
        let mask = self.mask.unwrap_or_default();
        if self.mask.is_some() {
            bytes.extend(mask);
        }
        bytes.extend(
            self.payload
                .iter()
                .zip(mask.iter().cycle())
                .map(|(byte, mask)| byte ^ mask),
        );
        bytes
    }
}

struct Peer {
    stream: TcpStream,
    chance: ChaCha8Rng,
    seed: u64,
    calls: u64,
}

impl Peer {
    fn below(&mut self, bound: usize) -> usize {
        self.chance.random_range(0..bound)
    }

    fn one_of<T: Clone>(&mut self, list: &[T]) -> T {
        list.choose(&mut self.chance).unwrap().clone()
    }

    fn send(&mut self, frame: &Frame) {
        // The other side may have ended it already.
        let _ = self.stream.write_all(&frame.bytes());
    }

    fn call(&mut self) -> Vec<u8> {
        self.calls += 1;
        let call = json!({ "jsonrpc": "2.0", "id": self.calls, "method": "millrace_status", "params": [] });
        call.to_string().into_bytes()
    }

    fn mask(&mut self) -> Option<[u8; 4]> {
        Some(self.chance.next_u32().to_be_bytes())
    }

    /// A call in any form that is allowed: whole or in parts with pings between them, in text or binary, the length in
    /// more bytes than it takes. It is answered.
    fn behave(&mut self) {
        let call = self.call();
        let kind = self.one_of(&[TEXT, BINARY]);
        let parts = 1 + self.below(5);
        let size = call.len().div_ceil(parts);
        let chunks: Vec<&[u8]> = call.chunks(size).collect();
        let mut pings = Vec::new();
        // Not between the parts: the library (soketto 0.8) forgets there that it is in the middle of a message, and ends the
        // connection.
        if self.below(6) == 0 {
            self.send(&Frame::of(FINAL | PONG, b"unasked"));
        }
        for (at, chunk) in chunks.iter().enumerate() {
            let kind = if at == 0 { kind } else { CONTINUATION };
            let last = if at + 1 == chunks.len() { FINAL } else { 0 };
            let frame = Frame {
                mask: self.mask(),
                ..Frame::of(last | kind, chunk)
            };
            self.send(&frame);
            if self.below(3) == 0 {
                let payload = self.chance.next_u64().to_be_bytes();
                let mask = self.mask();
                self.send(&Frame {
                    mask,
                    ..Frame::of(FINAL | PING, &payload)
                });
                pings.push(payload.to_vec());
            }
        }
        let mut answer = None;
        while answer.is_none() || !pings.is_empty() {
            let (first, payload) = self
                .receive()
                .unwrap_or_else(|| panic!("seed {}: no answer", self.seed));
            match first & 0x0f {
                PONG => {
                    let at = pings.iter().position(|ping| *ping == payload);
                    pings.remove(at.unwrap_or_else(|| panic!("seed {}: a pong to no ping", self.seed)));
                }
                PING => {}
                TEXT => answer = Some(payload),
                other => panic!("seed {}: a frame of kind {other}", self.seed),
            }
        }
        let answer: Value = serde_json::from_slice(&answer.unwrap()).unwrap();
        assert_eq!(answer["id"], self.calls, "seed {}", self.seed);
        assert_eq!(answer["result"]["chain_id"], 7, "seed {}", self.seed);
    }

    /// A frame that the standard forbids: nothing is answered to it, and the connection ends.
    fn break_a_rule(&mut self) {
        let text = self.call();
        let ping = [0; 126];
        let reserved = self.one_of(&[3, 4, 5, 6, 7, 11, 12, 13, 14, 15]);
        let bit = self.one_of(&[0x10, 0x20, 0x40]);
        let frames = match self.below(9) {
            0 => vec![Frame::of(FINAL | reserved, &text)],
            1 => vec![Frame::of(FINAL | bit | TEXT, &text)],
            2 => vec![Frame::of(FINAL | CONTINUATION, &text)],
            3 => vec![Frame::of(TEXT, &text), Frame::of(FINAL | TEXT, &text)],
            4 => vec![Frame::of(FINAL | PING, &ping)],
            5 => vec![Frame::of(PING, b"in parts")],
            6 => vec![Frame::of(CLOSE, b"")],
            7 => {
                // The head alone is enough.
                let claims = Some(self.one_of(&[1 << 32, 1 << 40, (1 << 63) - 1, 1 << 63, u64::MAX]));
                vec![Frame {
                    claims,
                    ..Frame::of(FINAL | TEXT, b"")
                }]
            }
            _ => {
                let code = self.one_of(&[1000u16, 1001, 1002, 1009, 3000, 4999]);
                vec![Frame::of(
                    FINAL | CLOSE,
                    &[&code.to_be_bytes()[..], b"bye"].concat(),
                )]
            }
        };
        for frame in &frames {
            self.send(frame);
        }
        self.ends();
    }

    /// Half a frame, half a message or half a head, and then nothing more.
    fn leave_half(&mut self) {
        let text = self.call();
        match self.below(4) {
            0 => {
                let bytes = Frame::of(FINAL | TEXT, &text).bytes();
                let until = 1 + self.below(bytes.len() - 1);
                let _ = self.stream.write_all(&bytes[..until]);
            }
            1 => self.send(&Frame::of(TEXT, &text)),
            2 => self.send(&Frame {
                claims: Some(u64::from(REQUEST_BYTES) - 1),
                ..Frame::of(FINAL | BINARY, &text)
            }),
            _ => {
                // A message of nothing but empty parts.
                self.send(&Frame::of(TEXT, &text));
                for _ in 0..200 {
                    self.send(&Frame::of(CONTINUATION, b""));
                }
            }
        }
        if self.below(2) == 0 {
            let _ = self.stream.shutdown(Shutdown::Write);
            self.ends();
        }
    }

    /// Anything at all, and more than a request may have.
    fn rave(&mut self) {
        for _ in 0..self.below(6) {
            let mut payload = vec![0; self.one_of(&[0, 1, 2, 125, 126, 4_000, 70_000])];
            self.chance.fill_bytes(&mut payload);
            let frame = Frame {
                first: self.chance.next_u32() as u8,
                mask: if self.below(4) == 0 { None } else { self.mask() },
                claims: if self.below(4) == 0 {
                    Some(self.chance.next_u64() >> self.below(64))
                } else {
                    None
                },
                width: self.one_of(&[None, None, Some(0), Some(2), Some(8)]),
                payload,
            };
            self.send(&frame);
        }
        match self.below(6) {
            0 => {
                let long = vec![b' '; REQUEST_BYTES as usize + 1 + self.below(100_000)];
                self.send(&Frame::of(FINAL | TEXT, &long));
            }
            1 => self.send(&Frame::of(FINAL | TEXT, b"\xff\xfe\x80")),
            2 => {
                let code = self.one_of(&[0u16, 999, 1004, 1005, 1006, 1015, 5000, 65_535]);
                self.send(&Frame::of(
                    FINAL | CLOSE,
                    &[&code.to_be_bytes()[..], b"\xff\xfe"].concat(),
                ));
            }
            3 => self.send(&Frame::of(FINAL | CLOSE, b"\x03")),
            _ => {}
        }
        let _ = self.stream.shutdown(Shutdown::Write);
        self.ends();
    }

    /// The next frame; none when the connection is over.
    fn receive(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        self.read(&mut head)?;
        let length = match head[1] {
            126 => {
                let mut length = [0; 2];
                self.read(&mut length)?;
                u64::from(u16::from_be_bytes(length))
            }
            127 => {
                let mut length = [0; 8];
                self.read(&mut length)?;
                u64::from_be_bytes(length)
            }
            length => u64::from(length),
        };
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.read(&mut payload)?;
        Some((head[0], payload))
    }

    /// Reads exactly so much; none at the end, however it comes. That nothing comes for long is no end.
    fn read(&mut self, buffer: &mut [u8]) -> Option<()> {
        match self.stream.read_exact(buffer) {
            Ok(()) => Some(()),
            Err(fault) if fault.kind() == std::io::ErrorKind::WouldBlock => {
                panic!("seed {}: the connection neither goes on nor ends", self.seed)
            }
            Err(_) => None,
        }
    }

    /// Reads until the server ends the connection.
    fn ends(&mut self) {
        while self.receive().is_some() {}
    }
}
