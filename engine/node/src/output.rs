//! What commands answer, on stdout.
//!
//! A pipe that nobody reads any more takes nothing, and neither does a full disk. `println!` panics over both. Here the first
//! is no failure (whoever read has seen enough), the second is told at the command's end, and what the command does goes on: a node
//! runs whether or not somebody reads what it says.

use std::fmt::Arguments;
use std::io::{self, Write as _};
use std::sync::OnceLock;

use crate::failure::Failure;

/// Why stdout takes no more.
static LOST: OnceLock<io::Error> = OnceLock::new();

/// Writes to stdout, as long as it takes anything.
pub fn write(text: Arguments<'_>) {
    if LOST.get().is_some() {
        return;
    }
    let written = io::stdout().lock().write_fmt(text);
    keep(written);
}

/// Whether stdout takes no more: what is done for a reader alone can end.
pub fn is_lost() -> bool {
    LOST.get().is_some()
}

/// Ends the output. Why part of it is missing, unless nobody reads it any more.
///
/// # Errors
/// When stdout took not all of it.
pub fn finish() -> Result<(), Failure> {
    if LOST.get().is_none() {
        let flushed = io::stdout().lock().flush();
        keep(flushed);
    }
    match LOST.get() {
        Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("stdout: {error}")))
        }
        _ => Ok(()),
    }
}

fn keep(written: io::Result<()>) {
    if let Err(error) = written {
        // The first is the reason of those that follow.
        let _ = LOST.set(error);
    }
}

/// As `print!`, for stdout that may take no more.
macro_rules! out {
    ($($text:tt)*) => {
        $crate::output::write(format_args!($($text)*))
    };
}

/// As `println!`, for stdout that may take no more.
macro_rules! outln {
    ($($text:tt)*) => {
        $crate::output::write(format_args!("{}\n", format_args!($($text)*)))
    };
}

pub(crate) use {out, outln};
