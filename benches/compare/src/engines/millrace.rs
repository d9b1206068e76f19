//! Our own tiers, so that one table holds both sides.

use std::path::Path;

use millrace_benches::programs::Program;
use millrace_benches::toolchain::{self, Target};
use millrace_benches::{guest, tiers};

use super::{Prepared, Run};

/// The tier at `INDEX` of `millrace_benches::tiers::ALL`.
pub fn tier<const INDEX: usize>(program: &Program, directory: &Path) -> Prepared {
    let loaded = guest::load(&toolchain::build(program, Target::Guest, directory));
    Box::new(move |work| {
        let run = guest::run(&loaded, tiers::ALL[INDEX].tier, work);
        Run {
            time: run.time,
            output: run.output,
        }
    })
}
