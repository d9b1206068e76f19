//! Peers that send and never read. What is made for them waits somewhere; it is little, whatever they send.

use std::io::{ErrorKind, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use socket2::SockRef;

use crate::frames::{Frame, open};
use crate::{SENDERS, Target};

/// Bytes that each sends, unless the other side takes no more before.
const SENT: usize = 24 << 20;
/// How long nothing must be taken before it counts as never.
const FULL_AFTER: Duration = Duration::from_secs(2);

pub fn run(target: &Target) {
    let unknown = json!({ "jsonrpc": "2.0", "id": 1, "method": "millrace_nothing" });
    let long = json!({ "jsonrpc": "2.0", "id": 1, "method": "millrace_getBlock", "params": [target.long_block, "full"] });
    let long_batch = Value::from(vec![long.clone(); 4]);
    let short_batch = Value::from(vec![
        json!({ "jsonrpc": "2.0", "id": 1, "method": "millrace_status" });
        64
    ]);
    let code =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "millrace_getCode", "params": [target.contract] });
    for message in [
        // No JSON: the library refuses it by itself.
        "x".to_owned(),
        // No call.
        "{}".to_owned(),
        "[1]".to_owned(),
        unknown.to_string(),
        long.to_string(),
        code.to_string(),
        long_batch.to_string(),
        short_batch.to_string(),
        // No call, and long.
        json!({ "a": "0".repeat(100_000) }).to_string(),
    ] {
        println!(
            "never reads what is answered to {}",
            &message[..message.len().min(90)]
        );
        target.withstands(SENDERS.into(), |_| {
            let mut stream = open(&target.address);
            // A kernel may let its own buffer grow to megabytes.
            SockRef::from(&stream).set_recv_buffer_size(64 << 10).unwrap();
            stream.set_nonblocking(true).unwrap();
            if message.len() > 50_000 {
                // Its answers are so short that they would all find room: nothing is to get through to it from the start.
                let clog = Frame::of(0x81, long_batch.to_string().as_bytes()).bytes();
                stream.write_all(&clog.repeat(8)).unwrap();
                std::thread::sleep(FULL_AFTER);
            }
            let frame = Frame::of(0x81, message.as_bytes()).bytes();
            let many = frame.repeat((64 << 10) / frame.len() + 1);
            let sent = send(&mut stream, &many);
            assert!(sent < SENT, "it was listened to for {sent} bytes");
            target.is_well();
        });
    }
}

/// Sends `bytes` again and again; answers how many were taken before no more were.
fn send(stream: &mut TcpStream, bytes: &[u8]) -> usize {
    const PAUSE: Duration = Duration::from_millis(20);
    let (mut sent, mut full) = (0, Duration::ZERO);
    while sent < SENT && full < FULL_AFTER {
        match stream.write(&bytes[sent % bytes.len()..]) {
            Ok(taken) => {
                sent += taken;
                full = Duration::ZERO;
            }
            Err(fault) if fault.kind() == ErrorKind::WouldBlock => {
                std::thread::sleep(PAUSE);
                full += PAUSE;
            }
            // It was ended, which is as good.
            Err(_) => break,
        }
    }
    sent
}
