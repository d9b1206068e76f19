//! HTTP and WebSocket on a socket, byte by byte: for what no well-behaved client does, such as never reading.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use socket2::SockRef;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer to a plain HTTP request.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers, in lower case.
    pub headers: String,
    /// The body.
    pub body: String,
}

/// A kernel may let its own buffer grow to tens of megabytes: whoever does not read would not be noticed for as long.
const RECEIVE_BUFFER: usize = 64 << 10;

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    SockRef::from(&stream)
        .set_recv_buffer_size(RECEIVE_BUFFER)
        .unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends one request on a connection of its own. `head` is the request line and headers besides `Host`, `Connection`
/// and the length.
pub fn request(address: &str, host: &str, head: &str, body: &str) -> Answer {
    let mut stream = connect(address);
    let length = body.len();
    let (line, headers) = head.split_once("\r\n").unwrap_or((head, ""));
    let headers = if headers.is_empty() {
        String::new()
    } else {
        format!("{headers}\r\n")
    };
    let text = format!(
        "{line}\r\nhost: {host}\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a whole answer");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer {
        status,
        headers: head.to_ascii_lowercase(),
        body: body.to_owned(),
    }
}

/// `GET`s a page.
pub fn get(address: &str, path: &str) -> Answer {
    request(address, address, &format!("GET {path} HTTP/1.1"), "")
}

/// Posts a JSON-RPC body.
pub fn post(address: &str, body: &str) -> Answer {
    let head = "POST / HTTP/1.1\r\ncontent-type: application/json";
    request(address, address, head, body)
}

/// The first byte of a text message in one frame.
const FINAL_TEXT: u8 = 0x81;
/// Of a ping, and of its answer.
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// Copies of a block of 0.7 megabytes.
const CLOG: usize = 32;

/// An open WebSocket.
pub struct WebSocket {
    stream: BufReader<TcpStream>,
}

impl WebSocket {
    /// Connects; `headers` go along, each ended by `\r\n`. Answers the status when it is refused.
    pub fn open(address: &str, headers: &str) -> Result<Self, u16> {
        Self::open_at(address, "/", headers)
    }

    /// The same at another path than the RPC's.
    pub fn open_at(address: &str, path: &str, headers: &str) -> Result<Self, u16> {
        let mut stream = BufReader::new(connect(address));
        let text = format!(
            "GET {path} HTTP/1.1\r\nhost: {address}\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
        );
        stream.get_mut().write_all(text.as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        match head.split(' ').nth(1).unwrap().parse().unwrap() {
            101 => Ok(Self { stream }),
            status => Err(status),
        }
    }

    /// The same connection, to send on while somebody else reads.
    pub fn twin(&self) -> Self {
        let stream = self.stream.get_ref().try_clone().unwrap();
        Self {
            stream: BufReader::new(stream),
        }
    }

    /// Sends a text message.
    pub fn send(&mut self, text: &str) {
        self.send_frame(FINAL_TEXT, text.as_bytes());
    }

    fn send_frame(&mut self, kind: u8, payload: &[u8]) {
        const MASKED: u8 = 0x80;
        let mut frame = vec![kind];
        match u16::try_from(payload.len()).unwrap() {
            length @ 0..126 => frame.push(MASKED | length as u8),
            length => {
                frame.push(MASKED | 126);
                frame.extend_from_slice(&length.to_be_bytes());
            }
        }
        // The mask of zeros changes nothing.
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(payload);
        self.stream.get_mut().write_all(&frame).unwrap();
    }

    /// Sends a call.
    pub fn call(&mut self, id: u64, method: &str, params: &Value) {
        let call = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        self.send(&call.to_string());
    }

    /// Has the server answer with more than the kernels hold, which is some megabytes: until that is read, nothing else
    /// gets through. Block 1 must hold a [`long_call`](crate::contracts::long_call).
    pub fn clog(&mut self) {
        let call = json!({ "jsonrpc": "2.0", "id": 0, "method": "millrace_getBlock", "params": [1, "full"] });
        self.send(&json!(vec![call; CLOG]).to_string());
        self.wait_for_message();
    }

    /// Reads what [`WebSocket::clog`] asked for.
    pub fn unclog(&mut self) {
        let answers = self.read();
        assert_eq!(answers.as_array().map(Vec::len), Some(CLOG));
    }

    /// Waits until the next message begins to arrive, and leaves it there.
    pub fn wait_for_message(&mut self) {
        while self.peek() == PING {
            self.answer_ping();
        }
    }

    /// The next message.
    pub fn read(&mut self) -> Value {
        self.wait_for_message();
        let (kind, payload) = self.frame();
        assert_eq!(kind, FINAL_TEXT, "{:?}", String::from_utf8_lossy(&payload));
        serde_json::from_slice(&payload).unwrap()
    }

    /// The first byte of the next frame.
    fn peek(&mut self) -> u8 {
        loop {
            match self.stream.fill_buf() {
                Ok(bytes) => return *bytes.first().expect("the connection goes on"),
                // A signal to this process is no end of patience.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("no message within {PATIENCE:?}: {error}"),
            }
        }
    }

    /// A server lets go of whoever answers none for long.
    fn answer_ping(&mut self) {
        let (_, payload) = self.frame();
        self.send_frame(PONG, &payload);
    }

    /// Its first byte and its payload.
    fn frame(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head).unwrap();
        let length = match head[1] {
            126 => {
                let mut length = [0; 2];
                self.stream.read_exact(&mut length).unwrap();
                u64::from(u16::from_be_bytes(length))
            }
            127 => {
                let mut length = [0; 8];
                self.stream.read_exact(&mut length).unwrap();
                u64::from_be_bytes(length)
            }
            length => u64::from(length),
        };
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut payload).unwrap();
        (head[0], payload)
    }
}
