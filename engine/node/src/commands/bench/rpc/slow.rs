//! A subscriber that does not read: what it is told until it is cut off, and how it goes on.
//!
//! A client's library reads whatever comes, so this one speaks WebSocket by itself. It asks for answers that are longer than
//! what the kernels keep for a connection and then leaves them there, so that nothing behind them gets through.

use std::collections::BTreeMap;
use std::io::{BufReader, Chain, Cursor, Read, Write as _};
use std::net::TcpStream;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use jsonrpsee_ws_client::WsClientBuilder;
use millrace_rpc::openrpc::DISCOVER;
use millrace_rpc::shapes::{EventView, Topic};
use millrace_rpc::{BlockReference, MillraceClient as _, RpcConfig};
use serde_json::{Value, json};

use crate::client::Client;
use crate::failure::Failure;

/// As many as a connection may have.
const SUBSCRIPTIONS: u64 = 16;
/// Blocks after which it must have been cut off: what waits for one connection is full, and then what waits for each
/// subscription is, with three events and more of each block.
pub const BLOCKS: u64 = 1_024 / SUBSCRIPTIONS + 1_024 / 3 + 45;
/// Batches of answers that are in the way, some megabytes each.
const BATCHES: u64 = 4;
const CALLS: usize = 64;
/// A peer that neither sends nor answers pings is let go after a minute.
const ALIVE_EVERY: Duration = Duration::from_secs(5);
/// And one that takes nothing of what waits for it, too. There are megabytes.
const ALIVE_BYTES: usize = 128 << 10;
const TEXT: u8 = 0x81;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
/// How long anything may take once it is read.
const PATIENCE: Duration = Duration::from_secs(60);

/// The connection.
pub struct Slow {
    url: String,
    socket: Socket,
    ids: Vec<Value>,
    /// What came between the answers to its subscriptions.
    early: Vec<Value>,
    /// Keeps the connection for as long as the load goes on, and keeps what it read for that.
    alive: Option<Alive>,
}

/// What became of it.
pub struct Outcome {
    pub subscriptions: u64,
    pub cut_off: u64,
    /// The first word of what it was told.
    pub reason: String,
    /// Notifications until then, of the subscription that was told least.
    pub told: u64,
    /// Blocks that it read by height to go on.
    pub read_by_height: u64,
}

/// Of one subscription.
#[derive(Default)]
struct Told {
    notifications: u64,
    height: Option<u64>,
    end: Option<String>,
}

impl Slow {
    /// Connects, subscribes, and stops reading.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn start(url: &str) -> Result<Self, Failure> {
        let url = url.to_owned();
        let mut slow = blocking(move || Self::open(url)).await?;
        let alive = Alive::start(&slow.socket.writer);
        slow.alive = Some(alive.map_err(|error| lost(&error))?);
        Ok(slow)
    }

    fn open(url: String) -> Result<Self, Failure> {
        // The bound that `BLOCKS` is made of.
        let config = RpcConfig::default();
        debug_assert_eq!(
            (config.message_buffer, config.subscription_buffer),
            (1_024, 1_024)
        );
        let mut socket = Socket::open(url.trim_start_matches("http://")).map_err(|error| lost(&error))?;
        let (mut ids, mut early) = (Vec::new(), Vec::new());
        for id in 0..SUBSCRIPTIONS {
            socket
                .call(id, "millrace_subscribe", &json!(["executed"]))
                .map_err(|error| lost(&error))?;
        }
        while ids.len() < SUBSCRIPTIONS as usize {
            let message = socket.read().map_err(|error| lost(&error))?;
            match message.get("result") {
                Some(id) => ids.push(id.clone()),
                None if message["method"] == "millrace_notification" => early.push(message),
                None => return Err(lost(&message)),
            }
        }
        for id in 0..BATCHES {
            let call = json!({ "jsonrpc": "2.0", "id": id, "method": DISCOVER });
            let batch = json!(vec![call; CALLS]).to_string();
            socket.send(batch.as_bytes()).map_err(|error| lost(&error))?;
        }
        Ok(Self {
            url,
            socket,
            ids,
            early,
            alive: None,
        })
    }

    /// Reads everything to the end of each subscription, subscribes again, and reads by height what it was not told.
    ///
    /// # Errors
    /// When it was told anything but every block in its turn up to an end that says why.
    pub async fn resume(mut self, client: &Client) -> Result<Outcome, Failure> {
        let url = self.url.replace("http://", "ws://");
        if let Some(alive) = self.alive.take() {
            let taken = blocking(move || alive.end()).await?;
            self.socket.put_back(&taken).map_err(|error| lost(&error))?;
        }
        let told = blocking(move || self.read_to_the_end()).await?;
        let least = told.iter().min_by_key(|told| told.height);
        let least = least.ok_or_else(|| lost(&"no subscription"))?;
        let last = least.height.unwrap_or(0);
        let socket = WsClientBuilder::default()
            .build(&url)
            .await
            .map_err(|error| lost(&error))?;
        let mut stream = socket
            .follow(Topic::Executed)
            .await
            .map_err(|error| lost(&error))?;
        let next = tokio::time::timeout(PATIENCE, stream.next()).await;
        let next = next.map_err(|_| lost(&"nothing after it subscribed again"))?;
        let Some(Ok(next)) = next else {
            return Err(lost(&"it could not subscribe again"));
        };
        let EventView::Executed { receipt, .. } = next.event else {
            return Err(lost(&"another event than it subscribed to"));
        };
        for height in last + 1..receipt.height {
            let reference = height.to_string().parse::<BlockReference>().expect("a height");
            let read = client.http().execution_receipt(Some(reference)).await;
            let read = read.map_err(|error| client.failed(error))?;
            if read.is_none_or(|read| read.receipt.height != height) {
                return Err(lost(&format!("the receipt of {height} is not to be had")));
            }
        }
        let end = least.end.clone().unwrap_or_default();
        Ok(Outcome {
            subscriptions: SUBSCRIPTIONS,
            cut_off: told.iter().filter(|told| told.end.is_some()).count() as u64,
            reason: end.split(':').next().unwrap_or_default().to_owned(),
            told: least.notifications,
            read_by_height: receipt.height - last - 1,
        })
    }

    fn read_to_the_end(mut self) -> Result<Vec<Told>, Failure> {
        let mut told: BTreeMap<String, Told> = BTreeMap::new();
        for id in &self.ids {
            told.insert(id.to_string(), Told::default());
        }
        for message in std::mem::take(&mut self.early) {
            take(&mut told, &message)?;
        }
        while told.values().any(|told| told.end.is_none()) {
            let message = self.socket.read().map_err(|error| lost(&error))?;
            take(&mut told, &message)?;
        }
        Ok(told.into_values().collect())
    }
}

/// One message: a notification or an end in its turn, or an answer that was in the way.
fn take(told: &mut BTreeMap<String, Told>, message: &Value) -> Result<(), Failure> {
    if message.is_array() {
        return Ok(());
    }
    let params = &message["params"];
    let told = told.get_mut(&params["subscription"].to_string());
    let told = told.filter(|told| told.end.is_none());
    let told = told.ok_or_else(|| lost(&format!("an unexpected message: {message}")))?;
    if let Some(end) = params["error"].as_str() {
        if !end.starts_with("lagged: ") {
            return Err(lost(&format!("it was ended with {end:?}")));
        }
        told.end = Some(end.to_owned());
        return Ok(());
    }
    let (sequence, height) = (
        &params["result"]["sequence"],
        &params["result"]["event"]["receipt"]["height"],
    );
    let height = height
        .as_u64()
        .ok_or_else(|| lost(&format!("no receipt: {message}")))?;
    if *sequence != told.notifications || told.height.is_some_and(|before| height != before + 1) {
        return Err(lost(&format!(
            "{message} after {} and height {:?}",
            told.notifications, told.height
        )));
    }
    told.notifications += 1;
    told.height = Some(height);
    Ok(())
}

fn lost(what: &dyn std::fmt::Display) -> Failure {
    Failure::new(format!("the subscriber that does not read: {what}"))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| lost(&error))?
}

/// What keeps the connection of a peer that hardly reads: a pong now and then, which is as good as an answer to a ping, and a
/// few bytes read, without which it would be closed after a minute.
struct Alive {
    stop: mpsc::Sender<()>,
    thread: thread::JoinHandle<std::io::Result<Vec<u8>>>,
}

impl Alive {
    fn start(stream: &TcpStream) -> std::io::Result<Self> {
        let mut stream = stream.try_clone()?;
        let (stop, stopped) = mpsc::channel();
        let keep = move || {
            let mut taken = Vec::new();
            while stopped.recv_timeout(ALIVE_EVERY) == Err(mpsc::RecvTimeoutError::Timeout) {
                stream.write_all(&[PONG, 0x80, 0, 0, 0, 0])?;
                let mut some = vec![0; ALIVE_BYTES];
                match stream.read(&mut some) {
                    Ok(length) => taken.extend(&some[..length]),
                    // Everything has been read.
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(taken)
        };
        let thread = thread::Builder::new().name("slow".to_owned()).spawn(keep)?;
        Ok(Self { stop, thread })
    }

    /// What was read meanwhile.
    fn end(self) -> Result<Vec<u8>, Failure> {
        drop(self.stop);
        let taken = self.thread.join().map_err(|_| lost(&"its thread panicked"))?;
        taken.map_err(|error| lost(&error))
    }
}

/// A WebSocket by the byte.
struct Socket {
    writer: TcpStream,
    reader: BufReader<Chain<Cursor<Vec<u8>>, TcpStream>>,
}

impl Socket {
    fn open(address: &str) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let reader = BufReader::new(Cursor::new(Vec::new()).chain(stream.try_clone()?));
        let mut socket = Self {
            writer: stream,
            reader,
        };
        let head = format!(
            "GET / HTTP/1.1\r\nhost: {address}\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: \
             13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        socket.writer.write_all(head.as_bytes())?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            socket.reader.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        if head.starts_with(b"HTTP/1.1 101") {
            return Ok(socket);
        }
        Err(std::io::Error::other(String::from_utf8_lossy(&head).into_owned()))
    }

    /// Reads this next, behind what has been read already and not been looked at.
    fn put_back(&mut self, taken: &[u8]) -> std::io::Result<()> {
        let bytes = [self.reader.buffer(), taken].concat();
        self.reader = BufReader::new(Cursor::new(bytes).chain(self.writer.try_clone()?));
        Ok(())
    }

    fn call(&mut self, id: u64, method: &str, params: &Value) -> std::io::Result<()> {
        let call = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        self.send(call.to_string().as_bytes())
    }

    fn send(&mut self, payload: &[u8]) -> std::io::Result<()> {
        self.frame(TEXT, payload)
    }

    /// A frame of up to 65,535 bytes, masked with zeros.
    fn frame(&mut self, kind: u8, payload: &[u8]) -> std::io::Result<()> {
        const MASKED: u8 = 0x80;
        let length = u16::try_from(payload.len()).map_err(std::io::Error::other)?;
        let mut frame = vec![kind];
        match u8::try_from(length) {
            Ok(short) if short < 126 => frame.push(MASKED | short),
            _ => {
                frame.push(MASKED | 126);
                frame.extend(length.to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(payload);
        self.writer.write_all(&frame)
    }

    /// The next message; pings are answered.
    fn read(&mut self) -> std::io::Result<Value> {
        loop {
            let mut head = [0; 2];
            self.reader.read_exact(&mut head)?;
            let length = match head[1] {
                126 => {
                    let mut length = [0; 2];
                    self.reader.read_exact(&mut length)?;
                    u64::from(u16::from_be_bytes(length))
                }
                127 => {
                    let mut length = [0; 8];
                    self.reader.read_exact(&mut length)?;
                    u64::from_be_bytes(length)
                }
                length => u64::from(length),
            };
            let mut payload = Vec::new();
            (&mut self.reader).take(length).read_to_end(&mut payload)?;
            match head[0] {
                TEXT => return Ok(serde_json::from_slice(&payload)?),
                PING => self.frame(PONG, &payload)?,
                other => return Err(std::io::Error::other(format!("a frame of kind {other:#x}"))),
            }
        }
    }
}
