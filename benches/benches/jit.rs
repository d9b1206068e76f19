//! Every tier beside native code: `cargo bench -p millrace-benches --bench jit -- --help`.
//!
//! Each program is compiled from one source by one compiler for the machine and for the host. All sides run by turns
//! and must give the same output every time; times are the best of the rounds, figures are ratios to the native twin
//! (x86-64-v2) in the same run. [`millrace_benches::report::table`] says what each column is.

use clap::Parser;
use millrace_benches::programs::{self, Program};
use millrace_benches::report::{self, Row, TierResult, Times};
use millrace_benches::tiers::{self, Column};
use millrace_benches::toolchain::{self, Target};
use millrace_benches::{guest, native};
use millrace_jit::Tier;

/// Times every program in every tier, beside native code.
#[derive(Parser)]
struct Arguments {
    /// Only this program; may be repeated
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Only this tier; may be repeated
    #[arg(long, value_name = "NAME")]
    tier: Vec<String>,
    /// Rounds of everything; slow tiers have fewer
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Also write every round's time to benches/results/NAME.json
    #[arg(long, value_name = "NAME")]
    save: Option<String>,
    /// What cargo passes to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

impl Arguments {
    fn programs(&self) -> Vec<Program> {
        if self.only.is_empty() {
            return programs::ALL.to_vec();
        }
        let find =
            |name: &String| *programs::find(name).unwrap_or_else(|| panic!("no program is called {name}"));
        self.only.iter().map(find).collect()
    }

    fn columns(&self) -> Vec<&'static Column> {
        for name in &self.tier {
            assert!(
                tiers::ALL.iter().any(|column| column.name == name),
                "no tier is called {name}"
            );
        }
        let wanted =
            |column: &&Column| self.tier.is_empty() || self.tier.iter().any(|name| name == column.name);
        tiers::ALL.iter().filter(wanted).collect()
    }
}

fn measure(program: Program, columns: &[&Column], rounds: usize, directory: &std::path::Path) -> Row {
    let plain = toolchain::build(&program, Target::Native, directory);
    let features = toolchain::build(&program, Target::NativeWithFeatures, directory);
    let file = toolchain::build(&program, Target::Guest, directory);
    let guest = guest::load(&file);
    let unmetered = columns
        .iter()
        .any(|column| column.tier == Tier::Jit)
        .then(|| guest::load_unmetered(&file));
    let expected = native::run(&plain, program.work).output;
    let mut row = Row {
        program,
        native: Times::default(),
        features: Times::default(),
        unmetered: unmetered.as_ref().map(|_| Times::default()),
        tiers: Vec::new(),
        gas: 0,
        instructions: None,
        text_bytes: guest.text_len(),
    };
    for column in columns {
        let run = guest::run(&guest, column.tier, program.work);
        assert_eq!(
            run.output, expected,
            "{}: {} differs from native",
            program.name, column.name
        );
        assert!(
            row.gas == 0 || row.gas == run.gas,
            "{}: {} uses other gas",
            program.name,
            column.name
        );
        row.gas = run.gas;
        row.instructions = row.instructions.or(run.instructions);
        row.tiers.push(TierResult {
            tier: column.name,
            first: run.time,
            times: Times::default(),
        });
    }
    for round in 0..rounds {
        for (twin, times) in [(&plain, &mut row.native), (&features, &mut row.features)] {
            let run = native::run(twin, program.work);
            assert_eq!(run.output, expected, "{}: the native twins differ", program.name);
            times.push(run.time);
        }
        if let (Some(unmetered), Some(times)) = (&unmetered, &mut row.unmetered) {
            let run = guest::run(unmetered, Tier::Jit, program.work);
            assert_eq!(
                run.output, expected,
                "{}: gas changes what comes out",
                program.name
            );
            times.push(run.time);
        }
        for (column, result) in columns.iter().zip(&mut row.tiers) {
            if round < column.most_rounds {
                let run = guest::run(&guest, column.tier, program.work);
                assert_eq!(
                    run.output, expected,
                    "{}: {} differs from native",
                    program.name, column.name
                );
                result.times.push(run.time);
            }
        }
    }
    row
}

fn main() {
    let arguments = Arguments::parse();
    let columns = arguments.columns();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut rows = Vec::new();
    for program in arguments.programs() {
        eprint!("{:<14}\r", program.name);
        rows.push(measure(
            program,
            &columns,
            usize::from(arguments.rounds),
            directory.path(),
        ));
    }
    print!("{}", report::table(&rows));
    if let Some(name) = &arguments.save {
        println!("saved in {}", report::save(name, &rows).display());
    }
}
