//! Our own tiers, so that one table holds both sides.

use std::path::Path;

use millrace_benches::guest;
use millrace_benches::programs::Program;
use millrace_benches::tiers::{self, Column};
use millrace_benches::toolchain::{self, Target};

use super::{Prepared, Run};

/// Everything compiled before it runs.
pub fn jit(program: &Program, directory: &Path) -> Prepared {
    tier("jit", program, directory)
}

/// Compiled where it is hot.
pub fn auto(program: &Program, directory: &Path) -> Prepared {
    tier("auto", program, directory)
}

/// Never compiled.
pub fn interpreter(program: &Program, directory: &Path) -> Prepared {
    tier("interpreter", program, directory)
}

fn tier(name: &str, program: &Program, directory: &Path) -> Prepared {
    let Column { tier, .. } = *tiers::ALL
        .iter()
        .find(|column| column.name == name)
        .unwrap_or_else(|| panic!("there is no tier {name}"));
    let loaded = guest::load(&toolchain::build(program, Target::Guest, directory));
    Box::new(move |work| {
        let run = guest::run(&loaded, tier, work);
        Run {
            time: run.time,
            output: run.output,
        }
    })
}
