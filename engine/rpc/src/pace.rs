//! How far the two ends of a WebSocket may be apart: a peer that does not take what it is told is not listened to, and what
//! waits for it is counted.
//!
//! The library reads every message at once and gives each a task of its own, which waits with its answer until there is
//! room. So a peer that sends faster than it is answered, or never reads, would fill the memory, were it with refusals. Two
//! bounds stand against that. [`Paced`], around the socket, reads [`MESSAGES_AHEAD`] messages more than were answered, and
//! [`BYTES_AHEAD`] once a write has found no room; then it waits until everything is written that is going to be. And calls begin
//! only while the answers that were made and not written are few bytes ([`Pace::room`]).
//!
//! A connection of any kind of which nothing is heard, and for which nothing is to be done, is closed.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::Sleep;

use crate::frames::{Counted, Frames};

/// Messages that are read and not answered. Some have no answer, so this is no bound of what a peer may send: where nothing
/// is written for a while, none is waited for.
const MESSAGES_AHEAD: u64 = 2_048;
/// With as many unanswered, little is read at once.
const MESSAGES_AT_EASE: u64 = MESSAGES_AHEAD / 2;
/// Bytes that are read at once when many messages are unanswered: the shortest has six.
const BYTES_AT_ONCE: usize = 1 << 10;
/// Bytes that are read from a peer that takes nothing.
const BYTES_AHEAD: usize = 256 << 10;

/// How often a connection that is not listened to is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// So many looks without a write say that none is to come: on a busy machine whoever writes may have to wait for its turn.
const QUIET_LOOKS: u32 = 5;

/// What is known of a connection's traffic.
pub(crate) struct Pace {
    state: Mutex<State>,
    /// Bytes of answers that may wait when another call begins.
    most_waiting: u64,
    room: Notify,
}

#[derive(Default)]
struct State {
    is_websocket: bool,
    requests: u64,
    heard: Frames,
    told: Frames,
    /// Messages that were read and not answered, as far as that can be told.
    messages_ahead: u64,
    /// The last write found no room.
    is_full: bool,
    /// A write has found no room, and the peer was not seen to have taken everything since.
    is_behind: bool,
    /// Bytes that were read since then.
    bytes_ahead: usize,
    /// Looks since something was written.
    quiet_looks: u32,
    /// Bytes of messages that were made and not written. What the library says by itself is written without having been
    /// counted, so it may be somewhat more.
    waiting: u64,
    /// Something was read or written since somebody asked.
    is_alive: bool,
}

impl State {
    fn caught_up(&mut self) {
        (self.messages_ahead, self.is_behind, self.bytes_ahead) = (0, false, 0);
        self.quiet_looks = 0;
    }
}

impl Pace {
    pub(crate) fn new(most_waiting: u64) -> Self {
        Self {
            state: Mutex::default(),
            most_waiting,
            room: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a message of a WebSocket that was made, and will be written or end with the connection.
    pub(crate) fn made(&self, payload_bytes: usize) {
        let mut state = self.state();
        state.waiting = state.waiting.saturating_add(frame_bytes(payload_bytes));
    }

    /// Takes back what was counted, because it will not be written.
    pub(crate) fn not_made(&self, payload_bytes: usize) {
        self.take_off(&mut self.state(), frame_bytes(payload_bytes));
    }

    fn take_off(&self, state: &mut State, bytes: u64) {
        let was_full = state.waiting >= self.most_waiting;
        state.waiting = state.waiting.saturating_sub(bytes);
        if was_full && state.waiting < self.most_waiting {
            self.room.notify_waiters();
        }
    }

    /// Whether little waits.
    pub(crate) fn has_room(&self) -> bool {
        self.state().waiting < self.most_waiting
    }

    /// Waits until little waits.
    pub(crate) async fn room(&self) {
        loop {
            let freed = self.room.notified();
            if self.has_room() {
                return;
            }
            freed.await;
        }
    }

    /// Counts a request of HTTP. Whether it may make the connection a WebSocket: it is the first, so that it is known where
    /// the frames begin.
    pub(crate) fn begins(&self) -> bool {
        let mut state = self.state();
        state.requests += 1;
        state.requests == 1 && state.heard.has_begun()
    }

    /// The connection is a WebSocket from now on.
    pub(crate) fn is_websocket(&self) {
        self.state().is_websocket = true;
    }

    fn wrote<'a>(&self, result: &Poll<io::Result<usize>>, slices: impl Iterator<Item = &'a [u8]>) {
        let mut state = self.state();
        match result {
            Poll::Pending => (state.is_full, state.is_behind) = (true, true),
            Poll::Ready(Ok(written)) => {
                state.is_full = false;
                state.is_alive = true;
                state.quiet_looks = 0;
                let mut left = *written;
                for slice in slices {
                    let (passed, _) = slice.split_at(left.min(slice.len()));
                    left -= passed.len();
                    let Counted { messages, bytes } = state.told.pass(passed);
                    state.messages_ahead = state.messages_ahead.saturating_sub(messages);
                    self.take_off(&mut state, bytes);
                }
                if state.messages_ahead == 0 {
                    state.caught_up();
                }
            }
            Poll::Ready(Err(_)) => state.is_full = false,
        }
    }

    fn read(&self, bytes: &[u8]) {
        let mut state = self.state();
        state.is_alive |= !bytes.is_empty();
        state.messages_ahead += state.heard.pass(bytes).messages;
        if state.is_behind {
            state.bytes_ahead += bytes.len();
        }
    }

    /// Whether the peer is listened to.
    fn is_heard(&self) -> bool {
        let state = self.state();
        !state.is_websocket || (state.messages_ahead < MESSAGES_AHEAD && state.bytes_ahead < BYTES_AHEAD)
    }

    fn bytes_at_once(&self) -> usize {
        let state = self.state();
        match state.is_websocket && state.messages_ahead >= MESSAGES_AT_EASE {
            true => BYTES_AT_ONCE,
            false => usize::MAX,
        }
    }

    /// After a while of not listening. Whatever waits is written one after the other; so if nothing was, and not for want
    /// of room, nothing waits: the peer has everything, or has to wait for what is still being done.
    fn look_again(&self) {
        let mut state = self.state();
        state.quiet_looks += 1;
        if !state.is_full && state.quiet_looks >= QUIET_LOOKS {
            state.caught_up();
        }
    }

    /// Whether anything was read or written since this was asked last.
    fn was_alive(&self) -> bool {
        std::mem::take(&mut self.state().is_alive)
    }
}

/// Of a message in one frame (RFC 6455, 5.2), which a server does not mask.
fn frame_bytes(payload_bytes: usize) -> u64 {
    let head = match payload_bytes {
        0..126 => 2,
        126..65_536 => 4,
        _ => 10,
    };
    head + payload_bytes as u64
}

/// A socket at the pace of its peer.
pub(crate) struct Paced<S> {
    inner: S,
    pace: Arc<Pace>,
    /// Until the next look, while the peer is not listened to.
    pause: Option<Pin<Box<Sleep>>>,
    silence: Silence,
    /// What the connection has until it is closed.
    _held: Box<dyn Send>,
}

/// When a connection has been silent for too long.
struct Silence {
    after: Duration,
    next_look: Pin<Box<Sleep>>,
    /// Whether its peer waits for something.
    is_busy: Box<dyn Fn() -> bool + Send>,
}

impl<S> Paced<S> {
    /// Closes the connection when for `silence` nothing was read or written, and `is_busy` says that nothing is being done
    /// for it either. `held` is dropped with it.
    pub(crate) fn new(
        inner: S,
        pace: Arc<Pace>,
        silence: Duration,
        is_busy: impl Fn() -> bool + Send + 'static,
        held: impl Send + 'static,
    ) -> Self {
        Self {
            inner,
            pace,
            pause: None,
            silence: Silence {
                after: silence,
                next_look: Box::pin(tokio::time::sleep(silence)),
                is_busy: Box::new(is_busy),
            },
            _held: Box::new(held),
        }
    }

    /// Ready when the connection is to be closed; else has the task woken for the next look.
    fn poll_silence(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.silence.next_look.as_mut().poll(context));
            let is_over = !self.pace.was_alive() && !(self.silence.is_busy)();
            if is_over {
                return Poll::Ready(());
            }
            self.silence.next_look = Box::pin(tokio::time::sleep(self.silence.after));
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while !this.pace.is_heard() {
            let pause = this
                .pause
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(LOOK_AGAIN)));
            ready!(pause.as_mut().poll(context));
            this.pause = None;
            this.pace.look_again();
        }
        let (before, at_once) = (buffer.filled().len(), this.pace.bytes_at_once());
        let read = if at_once < buffer.remaining() {
            let mut part = ReadBuf::new(buffer.initialize_unfilled_to(at_once));
            let read = Pin::new(&mut this.inner).poll_read(context, &mut part);
            let bytes = part.filled().len();
            buffer.advance(bytes);
            read
        } else {
            Pin::new(&mut this.inner).poll_read(context, buffer)
        };
        if read.is_pending() {
            ready!(this.poll_silence(context));
            let silence = io::Error::new(io::ErrorKind::TimedOut, "nothing was heard for long");
            return Poll::Ready(Err(silence));
        }
        this.pace.read(&buffer.filled()[before..]);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let wrote = Pin::new(&mut this.inner).poll_write(context, bytes);
        this.pace.wrote(&wrote, std::iter::once(bytes));
        wrote
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let wrote = Pin::new(&mut this.inner).poll_write_vectored(context, slices);
        this.pace.wrote(&wrote, slices.iter().map(|slice| &**slice));
        wrote
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: u64 = 100;

    /// Of a WebSocket that has just begun.
    fn websocket() -> Pace {
        let pace = Pace::new(MOST);
        pace.read(b"GET / HTTP/1.1\r\n\r\n");
        assert!(pace.begins());
        pace.is_websocket();
        write(&pace, b"HTTP/1.1 101 Switching Protocols\r\n\r\n");
        pace
    }

    fn write(pace: &Pace, bytes: &[u8]) {
        pace.wrote(&Poll::Ready(Ok(bytes.len())), std::iter::once(bytes));
    }

    /// A message of a server's, in one frame.
    fn told(payload: u8) -> Vec<u8> {
        [&[0x81, payload][..], &vec![b' '; payload.into()]].concat()
    }

    /// So many of a client's, each of six bytes.
    fn heard(many: u64) -> Vec<u8> {
        [0x81, 0x80, 1, 2, 3, 4].repeat(usize::try_from(many).unwrap())
    }

    #[test]
    fn what_is_made_waits_until_it_is_written() {
        let pace = websocket();
        pace.made(60);
        assert!(pace.has_room());
        pace.made(60);
        assert!(!pace.has_room());
        // A ping is nothing that was made; and a message may be written in parts.
        write(
            &pace,
            &[
                0x89, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            ],
        );
        assert!(!pace.has_room());
        let message = told(60);
        write(&pace, &message[..10]);
        assert!(!pace.has_room());
        write(&pace, &message[10..]);
        assert!(pace.has_room());
        assert_eq!(pace.state().waiting, 62);
        pace.not_made(60);
        assert_eq!(pace.state().waiting, 0);
        // What the library says by itself was never counted.
        write(&pace, &told(60));
        assert_eq!(pace.state().waiting, 0);
    }

    #[test]
    fn who_sends_much_more_than_is_answered_is_not_heard() {
        let pace = websocket();
        pace.read(&heard(MESSAGES_AHEAD));
        assert!(!pace.is_heard() && pace.bytes_at_once() == BYTES_AT_ONCE);
        write(&pace, &told(1));
        assert!(pace.is_heard(), "one is answered, one more is heard");
        pace.read(&heard(1));
        assert!(!pace.is_heard());
        // While answers are written there may be more of them.
        (1..QUIET_LOOKS).for_each(|_| pace.look_again());
        assert!(!pace.is_heard());
        pace.look_again();
        assert!(pace.is_heard(), "none is to come");
    }

    #[test]
    fn who_takes_nothing_is_not_heard_however_long_it_takes() {
        let pace = websocket();
        pace.wrote(&Poll::Pending, std::iter::empty());
        // Five long messages.
        let long = [&[0x81, 0xfe, 0xff, 0xff, 1, 2, 3, 4][..], &[0; 0xffff]].concat();
        pace.read(&long.repeat(5));
        (0..1_000).for_each(|_| pace.look_again());
        assert!(!pace.is_heard());
        // It took something, and there is more.
        write(&pace, &told(1)[..1]);
        pace.wrote(&Poll::Pending, std::iter::empty());
        (0..1_000).for_each(|_| pace.look_again());
        assert!(!pace.is_heard());
        write(&pace, &told(1)[1..]);
        (0..QUIET_LOOKS).for_each(|_| pace.look_again());
        assert!(pace.is_heard());
    }

    #[test]
    fn over_plain_http_nobody_waits_to_be_heard() {
        let pace = Pace::new(MOST);
        pace.read(b"POST / HTTP/1.1\r\n\r\n");
        pace.read(&heard(10 * MESSAGES_AHEAD));
        pace.wrote(&Poll::Pending, std::iter::empty());
        pace.read(&vec![0; 10 * BYTES_AHEAD]);
        assert!(pace.is_heard() && pace.bytes_at_once() == usize::MAX);
    }
}
