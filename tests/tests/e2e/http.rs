//! HTTP/1.1 messages with a known length on a byte stream: all that JSON-RPC needs, for a client and a proxy.

use std::io::{self, BufRead, Write};

/// The longest body that a test takes.
const MAX_BODY_BYTES: usize = 64 << 20;

/// A request or an answer.
pub struct Message {
    /// The request line or the status line.
    pub start: String,
    /// The body.
    pub body: Vec<u8>,
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn read_line(stream: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    Ok(Some(line.trim_end().to_owned()))
}

/// The next message, or `None` where the stream ends between two.
pub fn read(stream: &mut impl BufRead) -> io::Result<Option<Message>> {
    let Some(start) = read_line(stream)? else {
        return Ok(None);
    };
    let mut length = 0;
    loop {
        let header = read_line(stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        if header.is_empty() {
            break;
        }
        let (name, value) = header
            .split_once(':')
            .ok_or_else(|| invalid(format!("no header: {header:?}")))?;
        match name.to_ascii_lowercase().as_str() {
            "content-length" => {
                length = value
                    .trim()
                    .parse()
                    .map_err(|error| invalid(format!("{header}: {error}")))?;
            }
            "transfer-encoding" => return Err(invalid(format!("{header}: lengths are expected"))),
            _ => {}
        }
    }
    if length > MAX_BODY_BYTES {
        return Err(invalid(format!("a body of {length} bytes")));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(Some(Message { start, body }))
}

fn write(stream: &mut impl Write, start: &str, body: &[u8]) -> io::Result<()> {
    let head = format!(
        "{start}\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat())
}

/// Answers a request.
pub fn answer(stream: &mut impl Write, body: &[u8]) -> io::Result<()> {
    write(stream, "HTTP/1.1 200 OK", body)
}

/// Sends a JSON-RPC request.
pub fn post(stream: &mut impl Write, body: &[u8]) -> io::Result<()> {
    write(stream, "POST / HTTP/1.1", body)
}
