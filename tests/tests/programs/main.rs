//! Whole random programs on every tier.
use millrace_tests::programs::check::{Loaded, check_qemu};
use millrace_tests::programs::choices::Choices;
use millrace_tests::programs::generate::{Shape, generate};
use millrace_tests::programs::host::Script;
use millrace_tests::programs::run::Setting;
use millrace_tests::tools::number;

#[test]
fn against_qemu() {
    let first = number("MILLRACE_SEED", 1);
    let n = number("N", 20);
    let mut total = 0;
    for seed in first..first + n {
        let guest = generate(&mut Choices::seeded(seed), Shape::WHOLE, format!("seed {seed}"));
        let image = guest.image().unwrap();
        let loaded = Loaded::new(|| image.program());
        let setting = Setting {
            gas_limit: 100_000_000,
            script: Script::default(),
            layout: if std::env::var("NOLAYOUT").is_ok() { None } else { Some(guest.layout) },
        };
        let checked = loaded.check(&setting);
        let r = &checked.reference;
        println!(
            "seed {seed}: {} bytes, {} chunks, {} instr (bound {}), {} events, {:?}",
            image.text.bytes.len(),
            guest.chunks.len(),
            r.instructions(),
            guest.most_instructions,
            r.events.len(),
            r.outcome.end
        );
        total += r.instructions();
        if let Some(d) = &checked.difference { println!("DIFF {}", millrace_tests::programs::minimise::report(&guest, &setting, d)); continue; }
        if r.status != Some(0) { println!("SKIP {seed}"); continue; }
        let d = if std::env::var("NOQEMU").is_ok() { None } else { check_qemu(&guest, r) };
        if d.is_some() {
            println!("DIFF {d:?}");
        }
        assert!(d.is_none(), "seed {seed}");
    }
    println!("{total}");
}
