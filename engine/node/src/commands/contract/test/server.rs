//! Worlds for whoever connects: a thread for each connection, a world for each thread.

use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use millrace_executor::{MAX_CALL_DEPTH, required_stack_bytes};

use super::bench::Bench;
use super::protocol::{Answer, receive, send};
use super::world::World;
use crate::commands::contract::check::development_spec;

/// Connections at a time: a test has one, and there are as many tests at a time as cores.
const MOST_CONNECTIONS: usize = 1024;

/// Listens at `socket` until the process ends.
///
/// # Errors
/// When there can be no socket there, or no thread.
pub fn listen(socket: &Path, bench: Arc<Bench>) -> io::Result<()> {
    let listener = UnixListener::bind(socket)?;
    let mut spec = development_spec();
    spec.limits.call_depth = MAX_CALL_DEPTH;
    let stack = required_stack_bytes(&spec);
    thread::Builder::new()
        .name("contract-test".into())
        .spawn(move || accept(&listener, &bench, stack))?;
    Ok(())
}

fn accept(listener: &UnixListener, bench: &Arc<Bench>, stack: usize) {
    let live = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else {
            continue;
        };
        if live.load(Ordering::Relaxed) >= MOST_CONNECTIONS {
            refuse(
                &mut stream,
                format!("more than {MOST_CONNECTIONS} worlds at a time"),
            );
            continue;
        }
        live.fetch_add(1, Ordering::Relaxed);
        let (bench, of_thread) = (Arc::clone(bench), Arc::clone(&live));
        let spawned = thread::Builder::new().stack_size(stack).spawn(move || {
            serve(&mut stream, bench);
            of_thread.fetch_sub(1, Ordering::Relaxed);
        });
        if spawned.is_err() {
            // The connection is closed, which the test sees.
            live.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Answers one connection to its end, or to the first frame that is none.
fn serve(stream: &mut UnixStream, bench: Arc<Bench>) {
    bench.note_world();
    let mut world = match World::new(bench) {
        Ok(world) => world,
        Err(error) => return refuse(stream, error),
    };
    loop {
        match receive(stream) {
            Ok(None) => return,
            Ok(Some(request)) => {
                if send(stream, &world.answer(request)).is_err() {
                    return;
                }
            }
            Err(error) => return refuse(stream, error.to_string()),
        }
    }
}

/// Says why a connection ends.
fn refuse(stream: &mut UnixStream, why: String) {
    // Who is gone need not know.
    let _ = send(stream, &Answer::Failed(why));
}
