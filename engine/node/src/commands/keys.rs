//! `millrace keys`: Ed25519 keys in files that only their owner reads.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use millrace_types::keys::SecretKey;
use serde_json::json;

use crate::client::read_key;
use crate::commands::print_json;
use crate::failure::Failure;
use crate::output::outln;

/// Makes and shows keys.
#[derive(clap::Subcommand, Debug)]
pub enum KeysCommand {
    /// Makes a key from the operating system's randomness and writes it to a new file, mode 0600.
    New {
        /// The file; it must not exist.
        file: PathBuf,
        /// Prints one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Shows a key's public key and address, never the secret.
    Show {
        /// A key file, or 32 bytes in hex.
        key: String,
        /// Prints one JSON object.
        #[arg(long)]
        json: bool,
    },
}

impl KeysCommand {
    /// Runs the command.
    ///
    /// # Errors
    /// When the file cannot be written or read.
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::New { file, json } => {
                let key = SecretKey::from_seed(rand::random());
                let written = std::fs::OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(&file)
                    .and_then(|mut out| {
                        writeln!(out, "0x{}", hex::encode(key.to_seed())).and_then(|()| out.sync_all())
                    });
                written.map_err(|error| {
                    Failure::new(format!(
                        "keys new: {}: {error}; name a file that does not exist yet",
                        file.display()
                    ))
                })?;
                show(&key, json);
            }
            Self::Show { key, json } => show(&read_key(&key)?, json),
        }
        Ok(())
    }
}

fn show(key: &SecretKey, as_json: bool) {
    let (public_key, address) = (key.public_key(), key.address());
    if as_json {
        print_json(&json!({ "public_key": public_key, "address": address }));
    } else {
        outln!("public key  {public_key}\naddress     {address}");
    }
}
