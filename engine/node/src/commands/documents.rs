//! `millrace completions` and `millrace man`: the command line as shells and `man` read it.

use std::path::PathBuf;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{Cli, print_text};
use crate::failure::Failure;

/// Prints completions for a shell.
///
/// For bash: `millrace completions bash > ~/.local/share/bash-completion/completions/millrace`.
#[derive(Args, Debug)]
pub struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

impl CompletionsArgs {
    /// Prints them.
    ///
    /// # Errors
    /// When stdout takes no more.
    pub fn run(self) -> Result<(), Failure> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "millrace", &mut text);
        print_text(&String::from_utf8_lossy(&text))
    }
}

/// Prints the manual page, or writes one for every command to a directory.
#[derive(Args, Debug)]
pub struct ManArgs {
    /// Writes millrace.1 and a page for each command to this directory, which is made if it is missing.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl ManArgs {
    /// Prints or writes.
    ///
    /// # Errors
    /// When stdout or the directory takes no more.
    pub fn run(self) -> Result<(), Failure> {
        let Some(directory) = self.out else {
            let mut text = Vec::new();
            clap_mangen::Man::new(Cli::command())
                .render(&mut text)
                .map_err(|error| Failure::new(format!("man page: {error}")))?;
            return print_text(&String::from_utf8_lossy(&text));
        };
        let failed = |error: std::io::Error| Failure::new(format!("{}: {error}", directory.display()));
        std::fs::create_dir_all(&directory).map_err(failed)?;
        clap_mangen::generate_to(Cli::command(), &directory).map_err(failed)
    }
}
